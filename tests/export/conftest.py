"""Small models of random weights, exported once for all tests."""

import pytest
from small_sams import small_sam

from napari_sam.export.exporting import exporting_model
from napari_sam.export.params import ExportParams
from napari_sam.export.planes import NamedPlane
from napari_sam.steps import drive


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
