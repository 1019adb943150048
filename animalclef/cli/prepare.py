"""`mask`, `boxes`: where the animal is on each photograph."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, progress, warn
from animalclef.errors import ConfigError
from animalclef.runtime.atomic_files import check_writable, write_bytes
from animalclef.runtime.output_guard import check_output, mark_picture, refuse_input
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted

__all__ = ["boxes", "mask"]


@app.command()
def mask(
    to: Annotated[Path, typer.Option(help="Folder that gets a PNG per photograph, under the photograph's own path.")],
    data: opt.Data = None,
    columns: opt.Columns = None,
    model: Annotated[
        str,
        typer.Option(
            help="animal (ships with the package), u2netp (its pulled start), grabcut, a file with weights of U2-Net-P,"
            " or a SAM model: a folder, or its hub name where it is cached."
        ),
    ] = "animal",
    device: opt.Device = "auto",
    weights: opt.Weights = None,
    sheet: Annotated[Path | None, typer.Option(help="Also draw up to 96 of the masks into this JPEG.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make again the masks that this command made before.")
    ] = False,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Make a mask of every photograph, so that keypoints on the background are dropped.

    Look at the sheet before you trust them. The network finds what is striking; of a face that fills the frame it may
    find a patch. GrabCut separates colours, not animals. A mask is kept as long as its photograph and the model stay
    the same. Then: `animalclef predict --data DIR --set keypoints.masks=MASKS`.

    Example:

    - `animalclef mask --data my-photos --to my-masks --sheet masks.jpg`
    """
    from animalclef.data.masks import mask_paths
    from animalclef.prepare.contact_sheet import mask_sheet
    from animalclef.prepare.make_masks import make_masks
    from animalclef.prepare.segmenters import open_segmenter
    from animalclef.runtime.devices import choose_device

    loaded = opt.load(data, columns)
    images, root = loaded.images, loaded.source.root.resolve()
    if loaded.source.table is None and to.resolve().is_relative_to(root):
        raise ConfigError(f"--to {to}: masks in {root} would be read as photographs. Give a folder outside it.")
    for path in mask_paths(to, list(dict.fromkeys(images.path))):
        refuse_input(path)
    _check_sheet(sheet)
    count = cores(workers)
    segmenter = open_segmenter(model, "cpu" if model == "grabcut" else choose_device(device), weights, count)
    made = make_masks(images, to, segmenter, count, progress, overwrite=overwrite)
    if sheet is not None:
        write_bytes(sheet, mark_picture(mask_sheet(images, to)))
    if made.unreadable:
        warn(f"{counted(len(made.unreadable), 'photograph')} cannot be read (first: {made.unreadable[0]}).")
    unclear = f" ({len(made.unclear)} without a clear animal: all is kept)" if made.unclear else ""
    sentence = f"{made.masks} masks made{unclear}, {made.kept} were there. Folder: {to}"
    print_result(asdict(made), sentence, as_json=as_json)


@app.command()
def boxes(
    out_path: Annotated[
        Path, typer.Option("--out", help="The table to write. Paths in it start where those of the old one do.")
    ],
    data: opt.Data = None,
    columns: opt.Columns = None,
    along_body: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA SET",
            help="Animals seen from above or below that lie at any angle (newts, lizards): turn each box along the "
            "body, head up, without tail and limbs. Several times for several data sets.",
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks (see `mask`) for photographs without a uniform background."),
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also draw up to 96 of the boxes into this JPEG.")] = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Cut out the animal: write a table with a box for each photograph.

    Boxes come from transparency, masks or a uniform background.

    Photographs where the animal cannot be found stay whole; boxes that the table gives are kept. Then:
    `animalclef predict --data TABLE`, and the same for `train`. Look at the sheet before you trust them.

    Example:

    - `animalclef boxes --data my-photos --along-body NewtID --out my-photos/boxed.csv --sheet boxes.jpg`
    """
    from animalclef.data.masks import find_masks
    from animalclef.data.table_writing import write_boxes
    from animalclef.prepare.contact_sheet import crop_sheet
    from animalclef.prepare.find_boxes import find_boxes

    loaded = opt.load(data, columns)
    images = loaded.images
    opt.check_table(loaded, out_path, "table with boxes")
    check_writable(out_path.parent)
    _check_sheet(sheet)
    if absent := sorted(set(along_body or []) - set(images.datasets)):
        raise ConfigError(f"--along-body {absent[0]}: no such data set; there are {', '.join(images.datasets)}.")
    turned = frozenset(along_body or [])
    found = find_boxes(images, find_masks(images, masks), turned, cores(workers), progress)
    write_boxes(loaded, out_path, found.bbox_xywhr)
    boxed = images.with_columns(bbox_xywhr=found.bbox_xywhr).select(found.outcome == "found")
    if sheet is not None and len(boxed):
        write_bytes(sheet, mark_picture(crop_sheet(boxed)))
    elif sheet is not None:
        sheet.unlink(missing_ok=True)
        warn(f"No box was found, so there is no {sheet}.")
    outcomes = {name: Counter(found.outcome[images.dataset == name].tolist()) for name in images.datasets}
    opt.tell_where_paths_start(loaded, data, out_path)
    content = {"table": str(out_path), "datasets": outcomes}
    print_result(content, console.boxes_table(outcomes), f"Table: {out_path}", as_json=as_json)


def _check_sheet(sheet: Path | None) -> None:
    if sheet is not None:
        check_output(sheet, "picture")
        check_writable(sheet.parent)
