"""What may be the folder of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from animalclef.errors import OutputError
from animalclef.training.fabric import lock_folder


@pytest.mark.parametrize("held", ["animalclef-run.json", "catalogue.db", "metadata.csv", "database"])
def test_a_run_a_catalogue_and_a_data_set_are_no_folder_of_a_training(tmp_path: Path, held: str) -> None:
    (tmp_path / held).touch()
    with pytest.raises(OutputError, match=f"not the folder of a training \\(it holds {held}\\)"):
        lock_folder(tmp_path, 0)
    (tmp_path / held).unlink()
    with lock_folder(tmp_path, 0):
        pass
