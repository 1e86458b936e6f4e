import io
import json

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from PIL import Image

from lookalike.data.datasets import hugging_face
from lookalike.data.decode import read_picture
from lookalike.errors import DataError

NAMES = ["cat", "dog", "owl", "rat"]


def png(value):
    file = io.BytesIO()
    Image.new("L", (4, 3), value).save(file, "PNG")
    return file.getvalue()


def rows(labels, names=True):
    cells = [{"bytes": png(10 * i), "path": f"{i}.png"} for i in range(len(labels))]
    table = pa.table({"image": cells, "label": labels})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
        note = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        table = table.replace_schema_metadata(note)
    return table


def test_a_downloaded_repository(tmp_path):
    (tmp_path / "birds/data").mkdir(parents=True)
    for file, labels in (("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [1, 0]),
                         ("test-00000-of-00001", [2, 2, 3])):  # fmt: skip
        pa.parquet.write_table(rows(labels), tmp_path / f"birds/data/{file}.parquet")
    table = hugging_face(tmp_path / "birds", cache=tmp_path / "cache")
    assert table.name == "birds" and table.splits == ["test", "train"]
    assert table.names() == NAMES and table.split("train").frame["label"].tolist() == [
        "cat", "dog", "dog", "cat",
    ]  # fmt: skip
    assert read_picture(table.split("test").path(2))[0, 0].tolist() == [20, 20, 20]
    again = hugging_face(tmp_path / "birds", cache=tmp_path / "cache")
    assert again.paths == table.paths and again.fingerprint == table.fingerprint
    named = hugging_face(tmp_path / "birds", cache=tmp_path / "cache", splits={"test": "val"})
    assert named.splits == ["val", "train"]


def test_what_save_to_disk_writes(tmp_path):
    for split, labels in (("train", [0, 0]), ("validation", [1, 1])):
        (tmp_path / "set" / split).mkdir(parents=True)
        data = rows(labels)
        with pa.ipc.new_stream(
            tmp_path / f"set/{split}/data-00000-of-00001.arrow", data.schema
        ) as out:
            out.write_table(data)
    table = hugging_face(tmp_path / "set", cache=tmp_path / "cache")
    assert table.splits == ["train", "validation"] and table.names() == ["cat", "dog"]


def test_without_a_split_to_evaluate_the_classes_are_divided(tmp_path):
    pa.parquet.write_table(rows([0, 1, 2, 3], names=False), tmp_path / "train.parquet")
    table = hugging_face(tmp_path, cache=tmp_path / "cache")
    assert set(table.splits) == {"train", "test"} and "no split to evaluate" in table.notes[0]
    assert sorted(table.names()) == ["0", "1", "2", "3"]


def test_pictures_beside_the_files(tmp_path):
    table = pa.table({"image": [{"bytes": None, "path": "a/1.png"}], "label": ["x"]})
    pa.parquet.write_table(table, tmp_path / "test.parquet")
    assert hugging_face(tmp_path, cache=tmp_path / "c").paths == [str(tmp_path / "a/1.png")]


def test_faults_are_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no .parquet or .arrow files"):
        hugging_face(tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"train.parquet: cannot be read"):
        hugging_face(tmp_path, cache=tmp_path / "c")
    pa.parquet.write_table(rows([0]), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="no column 'img'. Did you mean 'image'"):
        hugging_face(tmp_path, picture="img", cache=tmp_path / "c")
    with pytest.raises(DataError, match="no split 'tst'"):
        hugging_face(tmp_path, splits={"tst": "test"}, cache=tmp_path / "c")
    pa.parquet.write_table(pa.table({"image": [1], "label": [0]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="has no image, only 1"):
        hugging_face(tmp_path, cache=tmp_path / "c")
