"""``mixmend denoise``: take noise off a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixmend.cli import show
from mixmend.cli.options import Json
from mixmend.cli.places import check_destination
from mixmend.cli.session import session
from mixmend.errors import MixmendError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(denoise)


def denoise(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMG", help="The noisy picture: PNG, JPEG, TIFF, WebP, …"),
    ],
    sigma: Annotated[
        float,
        typer.Option(
            "--sigma",
            metavar="SIGMA",
            help="Standard deviation of the noise where white is 255.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where the picture goes; the ending says the format.",
            show_default=False,
        ),
    ],
    prior: Annotated[
        Path | None,
        typer.Option(
            "--prior",
            metavar="FILE",
            help="A prior that PatchPrior.save wrote, instead of the one that comes along.",
            show_default=False,
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Several times as fast, a little less exact.")
    ] = False,
    std: Annotated[
        Path | None,
        typer.Option(
            "--std",
            metavar="MAP",
            help="Write a picture of the standard deviations too, the largest white.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Take white Gaussian noise off a picture, by what patches of pictures look like.

    Colours, 16 bits and transparency are kept where the format of OUT holds them.
    """
    with session() as run:
        if not 0 < sigma < float("inf"):
            raise MixmendError(f"--sigma must be a positive number; got {sigma:g}.")
        from mixmend.imaging.pictures import as_picture, check_picture_output, write_picture

        for place in (output, std):
            if place is not None:
                check_destination(place, [image], table=False)
                check_picture_output(place, overwrite=force)
        if std is not None and std.absolute() == output.absolute():
            raise MixmendError(f"--std and --output both name {std}. Choose another for one.")
        from mixmend.imaging import PatchPrior
        from mixmend.imaging import denoise as without_noise

        with run.stage(f"reading {image}"):
            picture = as_picture(image)
            known = PatchPrior.default() if prior is None else PatchPrior.load(prior)
        values = picture.shaped(picture.values, picture.alpha)
        with run.stage("denoising"):
            clean, deviations = without_noise(
                values,
                sigma / 255.0 * picture.peak,
                known,
                mode="fast" if fast else "full",
                return_std=True,
            )
        deviations = deviations / picture.peak
        largest, typical = float(deviations.max()), float((deviations**2).mean() ** 0.5)
        with run.stage(f"writing {output}"):
            write_picture(output, clean, overwrite=force)
            run.written.append(str(output))
            if std is not None:
                write_picture(std, deviations / largest, overwrite=force)
                run.written.append(str(std))
        height, width = picture.values.shape[:2]
        if as_json:
            report = {
                "output": str(output),
                "std_map": None if std is None else str(std),
                "height": height,
                "width": width,
                "channels": picture.values.shape[2],
                "sigma": sigma,
                "mode": "fast" if fast else "full",
                "components": known.n_components,
                "patch_size": known.patch_size,
                "std": 255.0 * typical,
                "largest_std": 255.0 * largest,
            }
            show.as_json("denoise", report, run)
            return
        side = known.patch_size
        facts: list[tuple[str, object]] = [
            ("picture", f"{width} × {height}, {'grey' if picture.is_grey else 'colour'}"),
            ("prior", f"{known.n_components} components of {side} × {side}"),
            (
                "left of the noise",
                f"{255.0 * typical:.2f} of {sigma:g} expected (root mean square)",
            ),
            ("written", ", ".join(run.written)),
            ("seconds", f"{run.seconds['denoising']:.1f}"),
        ]
        show.facts(facts)
