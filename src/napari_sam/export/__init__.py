"""Models as ONNX files, compared with torch before they are kept."""
