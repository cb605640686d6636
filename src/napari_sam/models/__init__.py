"""Model families: all code that uses torch to predict."""
