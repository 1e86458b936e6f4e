"""Where the data sets are to be had, and how to lay them out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.data.archive import unpack
from lookalike.data.download import download
from lookalike.errors import ConfigError, DataError, suggest


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        url: its official address.
        checksum: ``md5:…`` or ``sha256:…`` where one is published, else empty.
        into: folder below the data set's that an archive is unpacked into; None: the file is kept
            as it is.
        flat: unpack all files into one folder, whatever folders the archive puts them in.
    """

    url: str
    checksum: str = ""
    into: str | None = None
    flat: bool = False

    @property
    def name(self) -> str:
        """What the file is called on disk."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Source:
    """A data set: what can be fetched, and the steps that only a person can take.

    Attributes:
        folder: its folder below the data root, as ``conf/dataset`` expects it.
        files: what `get` fetches and unpacks.
        steps: what remains to do by hand, where the owner asks for a form or hosts no plain file.
        terms: the licence in a word.
        check: the words after ``lookalike data check``, where they are not the set's name.
    """

    folder: str
    files: tuple[File, ...] = ()
    steps: tuple[str, ...] = ()
    terms: str = ""
    check: str = ""


_INAT = "https://ml-inat-competition-datasets.s3.amazonaws.com/2018"
_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
_REVISITED = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
_DYML = (
    "Download {0}.zip from the OneDrive folder linked at"
    " https://github.com/SupetZYK/DynamicMetricLearning",
    "Unpack it so that {0}/train/label.csv is there",
)

SOURCES = {
    "cub": Source(
        "CUB_200_2011",
        (
            File(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                "md5:97eceeb196236b17998738112f37df78",
                into="",
            ),
        ),
        terms="images for non-commercial research",
    ),
    "omniglot": Source(
        "omniglot",
        (
            File(f"{_OMNIGLOT}/images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
            File(f"{_OMNIGLOT}/images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811"),
        ),
        terms="MIT",
    ),
    "sop": Source(
        "Stanford_Online_Products",
        (
            File(
                "ftp://cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
                "md5:7f73d41a2f44250d4779881525aea32e",
                into="",
            ),
        ),
        terms="for research",
    ),
    "inaturalist": Source(
        "Inaturalist",
        (
            File(f"{_INAT}/train_val2018.tar.gz", "md5:b1c6952ce38f31868cc50ea72d066cc3", into=""),
            File(f"{_INAT}/train2018.json.tar.gz", into="annotations", flat=True),
        ),
        (
            "Download the splits from"
            " https://drive.google.com/file/d/1sXfkBTFDrRU3__-NUs1qBP3sf_0uMB98 and unpack them"
            " to Inat_dataset_splits/",
            "For guise=full, where train2018.json lacks the whole taxonomy, add categories.json"
            " from https://github.com/visipedia/inat_comp/tree/master/2018",
        ),
        terms="for non-commercial research and education",
    ),
    "roxford5k": Source(
        "roxford5k",
        (
            File(f"{_REVISITED}/roxford5k/gnd_roxford5k.pkl"),
            File(f"{_OXFORD}/oxbuildings/oxbuild_images-v1.tgz", into="jpg", flat=True),
        ),
        check="revisited dataset.collection=roxford5k",
    ),
    "rparis6k": Source(
        "rparis6k",
        (
            File(f"{_REVISITED}/rparis6k/gnd_rparis6k.pkl"),
            File(f"{_OXFORD}/parisbuildings/paris_1-v1.tgz", into="jpg", flat=True),
            File(f"{_OXFORD}/parisbuildings/paris_2-v1.tgz", into="jpg", flat=True),
        ),
        check="revisited dataset.collection=rparis6k",
    ),
    "cars196": Source(
        "cars196",
        steps=(
            "The original address (ai.stanford.edu/~jkrause/cars) is gone. Get the copy at"
            " https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset, or any other",
            "Lay out cars_annos.mat and car_ims/, or devkit/, cars_train/ and cars_test/ with"
            " devkit/cars_test_annos_withlabels.mat",
        ),
    ),
    "market1501": Source(
        "market1501",
        steps=(
            "Get Market-1501-v15.09.15.zip by way of https://zheng-lab.cecs.anu.edu.au/Project/"
            "project_reid.html (its owner's page names the mirrors)",
            "Unpack it so that bounding_box_train/, query/ and bounding_box_test/ are there",
        ),
        terms="for research",
    ),
    "inshop": Source(
        "inshop",
        steps=(
            "Ask for access at https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/"
            "InShopRetrieval.html (a form to sign)",
            "Unpack img.zip, and put list_eval_partition.txt beside img/",
        ),
        terms="for non-commercial research, by agreement",
    ),
    **{
        name: Source(name, steps=tuple(step.format(name) for step in _DYML))
        for name in ("dyml_vehicle", "dyml_animal", "dyml_product")
    },
    "gldv2": Source(
        "gldv2",
        steps=(
            "Follow https://github.com/cvdfoundation/google-landmark: download-dataset.sh for"
            " train (500 parts), test (20) and index (100), into train/, test/ and index/",
            "Get train_clean.csv, index_image_to_landmark.csv and retrieval_solution_v2.1.csv"
            " from the same page; for hierarchy=true the cluster files of H-GLDv2 from SupRank",
        ),
        terms="images under their own CC-BY licences",
    ),
}


def source(name: str) -> Source:
    """What is known of a data set.

    Raises:
        ConfigError: a name that is not known.
    """
    if name not in SOURCES:
        raise ConfigError(f"data get {name}: no such data set. {suggest(name, SOURCES)}")
    return SOURCES[name]


def get(
    name: str,
    data_root: str | Path,
    *,
    progress: Callable[[str, int, int | None], Any] | None = None,
    keep_archives: bool = False,
) -> tuple[Path, tuple[str, ...]]:
    """Fetch and unpack a data set, and say what is left to do by hand.

    Args:
        name: of `SOURCES`.
        data_root: folder that data sets lie in.
        progress: called with the file's name, the bytes there and the bytes in all.
        keep_archives: leave archives in place once they are unpacked.

    Returns:
        The data set's folder and the steps that a person must take, none for most.

    Raises:
        ConfigError: a name that is not known.
        DataError: a file that cannot be fetched, or an archive that cannot be unpacked.
    """
    wanted = source(name)
    folder = Path(data_root).expanduser() / wanted.folder
    for file in wanted.files:
        _get(file, folder, progress, keep_archives)
    return folder, wanted.steps


def _get(
    file: File,
    folder: Path,
    progress: Callable[[str, int, int | None], Any] | None,
    keep_archives: bool,
) -> None:
    done = folder / f".{file.name}.done"
    if done.exists():
        return

    def tell(have: int, total: int | None) -> None:
        if progress is not None:
            progress(file.name, have, total)

    archive = folder / file.name
    download(file.url, archive, checksum=file.checksum or None, progress=tell)
    if file.into is None:
        return
    fresh = folder / f".{file.name}.unpacked"
    unpack([archive], fresh)
    _merge(fresh, folder / file.into, folder.name, file.flat)
    done.touch()
    if not keep_archives:
        archive.unlink()


def _merge(fresh: Path, target: Path, name: str, flat: bool) -> None:
    """Move what was unpacked into place, without the top folder that bears the set's own name."""
    top = fresh / name if (fresh / name).is_dir() else fresh
    content = [p for p in fresh.rglob("*") if p.is_file()] if flat else [*top.iterdir()]
    if top != fresh and not flat:
        content += [p for p in fresh.iterdir() if p != top]
    target.mkdir(parents=True, exist_ok=True)
    taken = [p.name for p in content if (target / p.name).exists()]
    if taken:
        raise DataError(
            f"{target / taken[0]}: is there already; remove it, or move {fresh} into place by hand"
        )
    for path in content:
        path.replace(target / path.name)
    shutil.rmtree(fresh)
