"""CUB-200-2011 and Omniglot in their original layouts."""

import zipfile

import pytest
from layouts import tree

from lookalike.data.datasets import cub, omniglot
from lookalike.errors import ConfigError, DataError

# ── CUB-200-2011 ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def birds(tmp_path):
    """Two images each of species 1, 100, 101 and 200, with Windows line ends here and there."""
    root = tmp_path / "CUB_200_2011"
    species = [1, 100, 101, 200]
    names = [f"{s:03d}.Bird_{s}/Bird_{s}_{i}.jpg" for s in species for i in (1, 2)]
    tree(root / "images", *names)
    ends = {"images.txt": "\r\n"}
    rows = {
        "images.txt": names,
        "image_class_labels.txt": [str(s) for s in species for _ in (1, 2)],
        "train_test_split.txt": ["1", "0"] * 4,
        "bounding_boxes.txt": ["60.0 27.0 32.9 13.0"] * 8,
        "classes.txt": [f"{s:03d}.Bird_{s}" for s in species],
    }
    for file, values in rows.items():
        text = "".join(f"{i} {v}{ends.get(file, chr(10))}" for i, v in enumerate(values, 1))
        (root / file).write_bytes(text.encode())
    return root


def taxonomy(root):
    lines = ["class_id,class_name, genus,family,order"]
    lines += [f"{s},x,G{s % 3},F{s % 2},O" for s in range(1, 201)]
    (root / "taxonomy.csv").write_bytes("\r\n".join(lines).encode())


@pytest.mark.parametrize("above", [False, True])
def test_cub_divides_the_species(birds, above):
    table = cub(birds.parent if above else birds)
    assert table.levels == ("species",)
    assert table.names() == ["001.Bird_1", "100.Bird_100", "101.Bird_101", "200.Bird_200"]
    assert table.frame["split"].tolist() == ["train"] * 4 + ["test"] * 4
    assert table.paths[0] == str(birds / "images/001.Bird_1/Bird_1_1.jpg")
    assert table.notes == (
        "not the official set: train has 4 of 5,864 images, test has 4 of 5,924 images",
    )


def test_cub_official_split_of_the_pictures(birds):
    table = cub(birds, split="images")
    assert table.frame["split"].tolist() == ["train", "test"] * 4
    assert "4 of 5,994" in table.notes[0]


def test_cub_taxonomy_gives_the_levels(birds):
    taxonomy(birds)
    table = cub(birds)
    assert table.levels == ("species", "genus", "family", "order")
    assert table.frame["genus"].tolist() == ["G1"] * 4 + ["G2"] * 4
    assert cub(birds, levels=["species", "family"]).levels == ("species", "family")
    assert cub(birds, levels=["species"]).levels == ("species",)


def test_cub_boxes(birds):
    table = cub(birds, crop=True)
    assert table.boxes[0].tolist() == [60, 27, 92, 40]
    (birds / "bounding_boxes.txt").unlink()
    with pytest.raises(DataError, match=r"bounding_boxes.txt is missing, which crop=true needs"):
        cub(birds, crop=True)


def test_cub_faults_are_named(birds):
    with pytest.raises(DataError, match=r"taxonomy.csv is missing; it gives the levels genus"):
        cub(birds, levels=["species", "genus"])
    taxonomy(birds)
    with pytest.raises(DataError, match="no label column 'gnus'. Did you mean 'genus'"):
        cub(birds, levels=["gnus"])
    with pytest.raises(ConfigError, match="dataset.split: 'class'"):
        cub(birds, split="class")
    (birds / "image_class_labels.txt").write_text("1 1\n2 one\n")
    with pytest.raises(DataError, match=r"image_class_labels.txt: no line for image 3 \(6 missing"):
        cub(birds)
    (birds / "image_class_labels.txt").write_text("".join(f"{i} one\n" for i in range(1, 9)))
    with pytest.raises(
        DataError, match=r"image_class_labels.txt: the value 'one' is not a whole number"
    ):
        cub(birds)
    (birds / "images.txt").write_text("1\n")
    with pytest.raises(DataError, match=r"images.txt: line 1 has 1 field, not 2: '1'"):
        cub(birds)
    (birds / "images.txt").write_text("\n")
    with pytest.raises(DataError, match=r"images.txt: holds no lines"):
        cub(birds)
    (birds / "images.txt").unlink()
    with pytest.raises(DataError, match=r"images.txt is missing. Expected in"):
        cub(birds)


# ── Omniglot ────────────────────────────────────────────────────────────────────────────────────

SMALL2 = ["Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"]


def drawings(root, alphabets):
    tree(
        root, *(f"{a}/character0{c}/{a}_{d}.png" for a in alphabets for c in (1, 2) for d in (1, 2))
    )
    return root


def zipped(folder):
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for member in sorted(folder.rglob("*.png")):
            file.write(member, member.relative_to(folder.parent))
    return archive


def test_omniglot_small_set_has_a_default_division(tmp_path):
    drawings(tmp_path / "images_background_small2", SMALL2)
    table = omniglot(tmp_path)
    assert table.levels == ("character", "alphabet") and len(table) == 20
    assert set(table.split("test").frame["alphabet"]) == {"Sanskrit", "Tagalog"}
    assert table.frame["path"][0] == "Greek/character01/Greek_1.png"
    assert table.notes[1] == "alphabets to test: Sanskrit, Tagalog"


def test_omniglot_zips_are_unpacked_into_the_cache(tmp_path):
    archive = zipped(drawings(tmp_path / "a" / "images_background_small2", SMALL2))
    home = tmp_path / "zips"
    home.mkdir()
    archive = archive.replace(home / archive.name)
    unpacked = omniglot(tmp_path / "a")
    for root in (home, archive):
        table = omniglot(root, cache=tmp_path / "cache")
        assert table.fingerprint == unpacked.fingerprint
        assert table.paths[0].startswith(str(tmp_path / "cache"))
    assert [p.name for p in home.iterdir()] == [archive.name]


def test_omniglot_published_division(tmp_path):
    drawings(tmp_path / "images_background", ["Greek", "Latin"])
    drawings(tmp_path / "images_background_small1", ["Greek"])
    drawings(tmp_path / "images_evaluation", ["Tibetan"])
    table = omniglot(tmp_path)
    assert len(table) == 12 and set(table.split("test").frame["alphabet"]) == {"Tibetan"}
    for part in ("images_background", "images_background_small1", "images_evaluation"):
        zipped(tmp_path / part)
    archives = tmp_path / "zips"
    archives.mkdir()
    for archive in tmp_path.glob("*.zip"):
        archive.replace(archives / archive.name)
    assert omniglot(archives, cache=tmp_path / "cache").fingerprint == table.fingerprint


def test_omniglot_alphabets_may_be_chosen(tmp_path):
    drawings(tmp_path / "images_background_small1", ["Greek", "Korean", "Latin"])
    table = omniglot(tmp_path, train=["Greek"], test=["Latin"])
    assert table.notes == (
        "alphabets to train: Greek",
        "alphabets to test: Latin",
        "alphabets left out: Korean",
    )
    assert len(omniglot(tmp_path, test=["Latin"]).split("train")) == 8
    with pytest.raises(ConfigError, match=r"say which alphabets to test on.*Greek, Korean, Latin"):
        omniglot(tmp_path)
    with pytest.raises(ConfigError, match="no alphabet 'Latn'. Did you mean 'Latin'"):
        omniglot(tmp_path, test=["Latn"])
    with pytest.raises(ConfigError, match="both name Latin"):
        omniglot(tmp_path, train=["Latin"], test=["Latin"])


def test_omniglot_faults_are_named(tmp_path):
    with pytest.raises(DataError, match=r"images_background.zip"):
        omniglot(tmp_path)
    with pytest.raises(DataError, match=r"x.zip: no such file"):
        omniglot(tmp_path / "x.zip")
    (tmp_path / "images_background_small2.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        omniglot(tmp_path, cache=tmp_path / "cache")
