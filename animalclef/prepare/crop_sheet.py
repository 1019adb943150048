"""Draw the boxes of photographs on one sheet, to check them by eye."""

from __future__ import annotations

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, read_image
from animalclef.prepare.contact_sheet import contact_sheet, spread_rows
from animalclef.structures import ImageTable

__all__ = ["crop_sheet"]


def crop_sheet(images: ImageTable, most: int = 96) -> bytes:
    """Draw the boxes of at most `most` photographs, spread evenly over the table, as a JPEG with their image_id."""
    cells = []
    for row in spread_rows(len(images), most):
        try:
            pixels = read_image(images, row, DataConfig()).pixels
        except UnreadableImageError:
            pixels = None
        cells.append((pixels, str(images.image_id[row])))
    return contact_sheet(cells)
