"""Small models of random weights, exported once for all tests."""

import hashlib

import pytest
from small_sams import small_sam

from napari_sam.export import exporting as module
from napari_sam.export.exporting import exporting_model
from napari_sam.export.params import ExportParams
from napari_sam.export.planes import NamedPlane
from napari_sam.export.tracing import traced
from napari_sam.steps import drive


@pytest.fixture(scope="session")
def graphs():
    """Graphs that were traced so far, by what they were traced of."""
    return {}


@pytest.fixture(autouse=True)
def traced_once(graphs, monkeypatch):
    """Trace modules of the same weights and sizes once: it takes most of an export's time."""

    def known(network, inputs, outputs, opset):
        options = [
            item
            for part in network.modules()
            for item in vars(part).items()
            if isinstance(item[1], (int, tuple))
        ]
        digest = hashlib.blake2b(repr((type(network), options, outputs, opset)).encode())
        for name, tensor in network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy())
        key = digest.hexdigest()
        if key not in graphs:
            graphs[key] = traced(network, inputs, outputs, opset)
        return graphs[key]

    monkeypatch.setattr(module, "traced", known)


@pytest.fixture(scope="session")
def planes():
    """Two planes of the sample of coins."""
    from skimage import data

    coins = data.coins()
    return [NamedPlane("coins", coins[:90, :128]), NamedPlane("small", coins[:30, :20])]


@pytest.fixture(scope="session")
def exported(tmp_path_factory, planes):
    """Return a function from an encoder's name to its SAM, the folder of its export, a report."""
    made = {}

    def export(encoder):
        if encoder not in made:
            model = small_sam(encoder)
            folder = tmp_path_factory.mktemp("exported") / encoder
            params = ExportParams(random_weights=True)
            report = drive(exporting_model(model, folder, params, planes))
            made[encoder] = model, folder, report
        return made[encoder]

    return export
