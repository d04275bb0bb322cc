"""``mixmend quantize``: a picture in few colours, as a small indexed file."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.options import Json, RandomState
from mixmend.cli.session import session
from mixmend.errors import OutputError

if TYPE_CHECKING:
    from mixmend.imaging.palette import Quantized
    from mixmend.imaging.pictures import Picture

_HEX_PER_LINE, _SWATCHES_PER_LINE, _GAP = 8, 6, 8


class Method(StrEnum):
    """How the colours are found."""

    kmeans = "kmeans"
    gmm = "gmm"


class ColourSpace(StrEnum):
    """Where distances between colours are taken."""

    srgb = "srgb"
    linear = "linear"
    oklab = "oklab"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(quantize)


def quantize(
    picture_file: Annotated[
        Path,
        typer.Argument(
            metavar="IMG",
            help="A picture: PNG, JPEG, TIFF, WebP, GIF, BMP.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to write: .png or .gif.",
            show_default=False,
        ),
    ],
    colors: Annotated[
        str,
        typer.Option(
            "--colors",
            "-c",
            metavar="N|auto",
            help="How many colours, 1 to 256; auto (with --method gmm) leaves it to BIC.",
        ),
    ] = "16",
    method: Annotated[
        Method,
        typer.Option(
            help="kmeans: the least error. gmm: the means of a mixture of Gaussians, each pixel "
            "that of its most likely component."
        ),
    ] = Method.kmeans,
    space: Annotated[
        ColourSpace,
        typer.Option(
            help="Where distances are taken: the file's numbers, amounts of light, or a space "
            "where equal distances look alike."
        ),
    ] = ColourSpace.srgb,
    dither: Annotated[
        bool,
        typer.Option(
            "--dither", help="Pass each pixel's error on to its neighbours (Floyd–Steinberg)."
        ),
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the picture before and after too, side by side."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are already there.")
    ] = False,
    random_state: RandomState = 0,
    as_json: Json = False,
) -> None:
    """Reduce a picture to few colours chosen for it, and write it as an indexed file."""
    with session() as run:
        wanted = _number(colors)
        _check_places(picture_file, output, compare, force)
        from mixmend.imaging.palette import quantize as quantized
        from mixmend.imaging.pictures import as_picture

        with run.stage(f"reading {picture_file}"):
            picture = as_picture(picture_file)
        with run.stage("choosing colours"):
            found = quantized(
                picture.shaped(picture.values, picture.alpha),
                wanted,
                method.value,
                random_state,
                space=space.value,
                dither=dither,
            )
        with run.stage(f"writing {output}"):
            found.save(output, overwrite=force)
            run.written.append(str(output))
        if compare is not None:
            with run.stage(f"writing {compare}"):
                _write_comparison(compare, picture, found, force)
                run.written.append(str(compare))
        report = _report(picture_file, output, compare, found)
        if as_json:
            show.as_json("quantize", report, run)
            return
        _show(report, sum(run.seconds.values()))


def _number(colors: str) -> Any:
    if colors == "auto":
        return colors
    try:
        return int(colors)
    except ValueError:
        raise typer.BadParameter(
            f"{colors!r} is neither a whole number nor auto", param_hint="'--colors' / '-c'"
        ) from None


def _check_places(source: Path, output: Path, compare: Path | None, force: bool) -> None:
    """Refuse, before any work, outputs that would replace something, or cannot be written."""
    from mixmend.imaging.indexed import check_indexed_output
    from mixmend.imaging.pictures import check_picture_output

    outputs = [output] if compare is None else [output, compare]
    for path in outputs:
        if source.exists() and path.exists() and path.samefile(source):
            raise OutputError(
                f"Cannot write {path}: it is the input. Choose another name for the output."
            )
        if path.is_file() and not force:
            raise OutputError(
                f"Cannot write {path}: the file exists. Give --force to replace it, or choose "
                "another name."
            )
    check_indexed_output(output)
    if compare is not None:
        check_picture_output(compare)
        if compare.absolute() == output.absolute():
            raise OutputError(
                f"Cannot write {compare}: it is the output as well. Choose two names."
            )


def _write_comparison(path: Path, picture: Picture, found: Quantized, force: bool) -> None:
    import numpy as np

    from mixmend.imaging.pictures import write_picture

    before = picture.shaped(picture.to_bytes(), picture.alpha_bytes())
    middle = np.full((before.shape[0], _GAP, *before.shape[2:]), 255, np.uint8)
    write_picture(path, np.concatenate([before, middle, found.image], axis=1), overwrite=force)


def _report(source: Path, output: Path, compare: Path | None, found: Quantized) -> dict[str, Any]:
    height, width = found.indices.shape
    opacity = [255] * len(found.palette) if found.alpha is None else found.alpha.tolist()
    return {
        "input": {"path": str(source), "bytes": source.stat().st_size},
        "output": {"path": str(output), "bytes": output.stat().st_size},
        "compare": None if compare is None else str(compare),
        "width": width,
        "height": height,
        "distinct": found.n_distinct,
        "colors": len(found.palette),
        "mse": found.mse,
        "psnr": found.psnr,
        "palette": [
            {"color": "#{:02x}{:02x}{:02x}".format(*rgb), "alpha": seen, "pixels": pixels}
            for rgb, seen, pixels in zip(
                found.palette.tolist(), opacity, found.counts.tolist(), strict=True
            )
        ],
    }


def _show(report: dict[str, Any], seconds: float) -> None:
    before, after = report["input"]["bytes"], report["output"]["bytes"]
    exact = report["mse"] == 0
    show.facts(
        [
            ("picture", f"{report['width']} × {report['height']} pixels"),
            ("colours", f"{report['colors']} of {show.grouped(report['distinct'])}"),
            ("PSNR", "exact" if exact else f"{report['psnr']:.2f} dB"),
            ("before", f"{show.size(before)}  {report['input']['path']}"),
            ("after", f"{show.size(after)}  {report['output']['path']}  ({after / before:.0%})"),
            ("compare", report["compare"]),
            ("time", show.duration(seconds)),
        ]
    )
    codes = [
        entry["color"] + ("" if entry["alpha"] == 255 else f"{entry['alpha']:02x}")
        for entry in report["palette"]
    ]
    print()
    if sys.stdout.isatty():
        _swatches(codes)
        return
    for begin in range(0, len(codes), _HEX_PER_LINE):
        print(" ".join(codes[begin : begin + _HEX_PER_LINE]))


def _swatches(codes: list[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for begin in range(0, len(codes), _SWATCHES_PER_LINE):
        line = Text()
        for code in codes[begin : begin + _SWATCHES_PER_LINE]:
            line.append("    ", style=f"on {code[:7]}")
            line.append(f" {code}  ")
        console.print(line, soft_wrap=True)
