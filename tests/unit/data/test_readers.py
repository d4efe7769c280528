import io
import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from headstart.data import Sound, read
from headstart.errors import ConfigError, DataError


def png(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png() if path.suffix == ".png" else b"x")
    return root


class TestFolder:
    def test_class_folders(self, tmp_path):
        data = read(fill(tmp_path, "cat/1.png", "cat/in/2.PNG", "<script>alert(1)<!--/3.png", ".git/4.png"))
        assert data.names == ["<script>alert(1)<!--/3.png", "cat/1.png", "cat/in/2.PNG"]
        assert data.labels == ["<script>alert(1)<!--", "cat", "cat"]
        assert data.declared is None
        assert data.modality == "image"
        assert not data.notes

    @pytest.mark.parametrize(
        ("folders", "expected"),
        [
            (("train", "val", "test"), {"train", "valid", "test"}),
            (("Training", "VALIDATION", "Testing"), {"train", "valid", "test"}),
            (("train", "dev"), {"train", "valid"}),
        ],
    )
    def test_declared_splits(self, tmp_path, folders, expected):
        data = read(fill(tmp_path, *(f"{folder}/{label}/1.png" for folder in folders for label in "ab")))
        assert data.classes == ["a", "b"]
        assert set(data.declared) == expected

    def test_train_may_be_a_class(self, tmp_path):
        data = read(fill(tmp_path, "train/1.png", "plane/1.png"))
        assert data.classes == ["plane", "train"]
        assert data.declared is None

    def test_other_files_are_noted(self, tmp_path):
        data = read(fill(tmp_path, "a/1.png", "a/Thumbs.db", "b/2.png", "b/readme.txt", "b/.hidden.txt", "0.png"))
        assert len(data) == 2
        assert "2 files that are no pictures were left out (.db 1, .txt 1)" in data.notes
        assert any("1 pictures outside the class folders" in note for note in data.notes)

    def test_links_that_lead_outside_are_not_followed(self, tmp_path):
        outside = fill(tmp_path / "outside", "secret.png", "more/x.png")
        data = fill(tmp_path / "data", "a/1.png", "b/2.png")
        (data / "a/secret.png").symlink_to(outside / "secret.png")
        (data / "c").symlink_to(outside / "more", target_is_directory=True)
        (data / "b/inside.png").symlink_to(data / "a/1.png")
        found = read(data)
        assert found.names == ["a/1.png", "b/2.png", "b/inside.png"]
        assert any("2 symbolic links" in note for note in found.notes)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ((), "holds no pictures"),
            (("a/x.bin",), r"holds no pictures, texts or recordings \(1 files"),
            (("1.png", "2.png"), "no class folders"),
            (("train/1.png", "test/2.png"), "no class folders"),
            (("train/a/1.png", "test/2.png"), "pictures in test/"),
            (("train/a/1.png", "test/a/2.png", "extra/a/1.png"), "mixes the splits"),
        ],
    )
    def test_wrong_layouts(self, tmp_path, files, message):
        with pytest.raises(DataError, match=message):
            read(fill(tmp_path, *files))

    def test_without_labels(self, tmp_path):
        data = read(fill(tmp_path, "1.png", "a/2.png"), labels=None)
        assert data.labels is None
        assert data.names == ["1.png", "a/2.png"]

    def test_groups(self, tmp_path):
        fill(tmp_path, "a/p1-1.png", "b/p2-1.png")
        assert read(tmp_path, group=r"p(\d+)-").groups == ["1", "2"]
        for wrong, message in [
            ("p(", "no regular"),
            ("p", "exactly one"),
            (r"p(1)-", r"not found in 1 of 2.*b/p2-1"),
        ]:
            with pytest.raises(DataError, match=message):
                read(tmp_path, group=wrong)

    def test_labels_that_are_alike_are_noted(self, tmp_path):
        data = read(fill(tmp_path, "Cat/1.png", "Cat/2.png", "cat /3.png", "dog/1.png"))
        assert data.classes == ["Cat", "cat ", "dog"]
        assert data.notes[0].startswith("labels that differ only in case or white space: 'Cat' (2) and 'cat ' (1); ")

    def test_a_name_that_is_no_utf8_can_be_written(self, tmp_path):
        folder = os.fsencode(tmp_path) + b"/caf\xe9"
        try:
            os.mkdir(folder)  # noqa: PTH102
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
        with open(folder + b"/1.png", "wb") as file:  # noqa: PTH123
            file.write(png())
        data = read(fill(tmp_path, "tea/1.png"))
        assert data.classes == ["caf\ufffd", "tea"]
        assert all(item.read_bytes() == png() for item in data.items)


class TestTables:
    def table(self, root: Path, text: str, name: str = "labels.csv") -> Path:
        fill(root, "a.png", "deep/b.png", "c.png")
        (root / name).write_text(text, "utf-8")
        return root / name

    def test_csv(self, tmp_path):
        path = self.table(tmp_path, "\ufefffile,label,split,who\na.png,0,train,x\ndeep/b.png,1,val,y\nc.png,0,TEST,y\n")
        data = read(path, group="who")
        assert data.labels == ["0", "1", "0"]
        assert data.declared == ["train", "valid", "test"]
        assert data.groups == ["x", "y", "y"]
        assert [item.exists() for item in data.items] == [True] * 3
        assert data.names[1] == "deep/b.png"

    def test_semicolons_and_quotes(self, tmp_path):
        data = read(self.table(tmp_path, 'image;label\na.png;"x;y"\nc.png;z\n'))
        assert data.labels == ["x;y", "z"]

    def test_jsonl(self, tmp_path):
        lines = [{"file_name": "a.png", "label": 3}, {"file_name": "c.png", "label": "x"}]
        data = read(self.table(tmp_path, "\n".join(map(json.dumps, lines)), "labels.jsonl"))
        assert data.labels == ["3", "x"]

    def test_an_unknown_split_column_is_ignored(self, tmp_path):
        data = read(self.table(tmp_path, "path,label,split\na.png,0,fold1\nc.png,1,train\n"))
        assert data.declared is None
        assert "fold1" in data.notes[0]

    @pytest.mark.parametrize(
        ("text", "options", "message"),
        [
            (
                "path,Lable\na.png,0\n",
                {},
                "no column 'label'; there are: 'path', 'Lable'. Did you mean 'Lable'",
            ),
            ("x,label\na.png,0\n", {}, "no column of pictures"),
            ("path,label\na.png,0\n", {"paths": "pat"}, "Did you mean 'path'"),
            ("path,label\n", {}, "no rows"),
            ("", {}, "no rows"),
            ("path,label\na.png,0\n../x.png,1\n", {}, r"outside its folder .*row 2: \.\./x\.png"),
            ("path,label\na.png,0\n/etc/passwd,1\n", {}, "outside its folder"),
            ("path,label\ngone.png,0\n", {}, "None of the 1 files"),
            ("path,label\na.png,0,7\n", {}, "Line 2 .* has 3 fields"),
            ("path,label,label\na.png,0,7\n", {}, "two columns"),
            ('path,label\n"a.png,0\n', {}, "no valid CSV"),
            ("path,label\n,0\n", {}, "holds no path and no picture in the rows 1"),
        ],
    )
    def test_wrong_tables(self, tmp_path, text, options, message):
        path = self.table(tmp_path / "data", text)
        (tmp_path / "x.png").write_bytes(png())
        with pytest.raises(DataError, match=message):
            read(path, **options)

    def test_absolute_paths_inside_the_folder_are_fine(self, tmp_path):
        path = self.table(tmp_path, f"path,label\n{tmp_path}/a.png,0\ndeep/../c.png,1\n")
        assert len(read(path)) == 2

    def test_not_utf8(self, tmp_path):
        (tmp_path / "x.csv").write_bytes(b"path,label\ncaf\xe9.png,0\n")
        with pytest.raises(DataError, match="not UTF-8"):
            read(tmp_path / "x.csv")

    @pytest.mark.parametrize(("text", "message"), [("{", "Line 1 .* no JSON"), ("[1]", "expected an object")])
    def test_wrong_json(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            read(self.table(tmp_path, text, "x.jsonl"))

    def test_an_empty_label_column_means_no_labels(self, tmp_path):
        data = read(self.table(tmp_path, "path,label\na.png,\nc.png,\n"))
        assert data.labels is None
        assert "without labels" in data.notes[0]


class TestParquet:
    def write(self, path: Path, columns: dict, metadata: dict | None = None) -> Path:
        import pyarrow
        import pyarrow.parquet

        content = pyarrow.table(columns)
        if metadata:
            content = content.replace_schema_metadata({"huggingface": json.dumps(metadata)})
        pyarrow.parquet.write_table(content, path)
        return path

    def test_binary_struct_and_paths(self, tmp_path):
        fill(tmp_path, "a.png")
        binary = read(self.write(tmp_path / "1.parquet", {"image": [png(1), png(2)], "label": [0, 1]}))
        assert binary.items == [png(1), png(2)]
        assert binary.names == ["row 1", "row 2"]
        structs = [{"bytes": png(3), "path": "x.png"}, {"bytes": None, "path": "a.png"}]
        struct = read(self.write(tmp_path / "2.parquet", {"image": structs, "label": [1.0, 2.0]}))
        assert struct.items == [png(3), tmp_path / "a.png"]
        assert struct.labels == ["1", "2"]

    def test_class_names_of_hugging_face(self, tmp_path):
        metadata = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}}
        path = self.write(tmp_path / "1.parquet", {"image": [png(1), png(2)], "label": [1, 0]}, metadata)
        assert read(path).labels == ["yes", "no"]

    def test_missing_label_and_damaged_file(self, tmp_path):
        path = self.write(tmp_path / "1.parquet", {"image": [png(1), png(2)], "label": [0.0, float("nan")]})
        found = read(path)
        assert list(found.labels) == ["0"] and "were left out: rows 2" in found.notes[0]
        (tmp_path / "2.parquet").write_bytes(b"PAR1 nonsense")
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read(tmp_path / "2.parquet")


class TestHub:
    @pytest.fixture
    def hub(self):
        datasets = pytest.importorskip("datasets", reason="the extra 'hub' is not installed")
        features = datasets.Features(
            {
                "img": datasets.Image(),
                "label": datasets.ClassLabel(names=["cat", "dog"]),
                "who": datasets.Value("string"),
            }
        )
        rows = {
            "img": [{"bytes": png(i), "path": None} for i in range(3)],
            "label": [0, 1, 0],
            "who": list("xyy"),
        }
        return datasets, datasets.Dataset.from_dict(rows, features=features)

    def test_dataset(self, hub):
        data = read(hub[1], group="who")
        assert data.items == [png(0), png(1), png(2)]
        assert data.labels == ["cat", "dog", "cat"]
        assert data.groups == ["x", "y", "y"]

    def test_dict_keys_are_splits(self, hub):
        datasets, part = hub
        data = read(datasets.DatasetDict({"train": part, "validation": part.select([0])}))
        assert data.declared == ["train"] * 3 + ["valid"]
        with pytest.raises(DataError, match="'unsupervised'"):
            read(datasets.DatasetDict({"train": part, "unsupervised": part}))

    def test_texts_sounds_and_features(self, hub):
        datasets, _ = hub
        texts = datasets.Dataset.from_dict({"sentence": ["a b", "c"], "idx": [0, 1], "label": ["x", "y"]})
        found = read(texts)
        assert (found.modality, found.items, found.labels) == ("text", ["a b", "c"], ["x", "y"])
        rows = {"audio": [{"bytes": b"RIFF", "path": None}, {"bytes": b"fLaC", "path": "2.flac"}], "label": [0, 1]}
        sounds = read(datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio()))
        assert (sounds.modality, sounds.items, sounds.names) == ("audio", [b"RIFF", b"fLaC"], ["row 1", "2.flac"])
        numbers = read(datasets.Dataset.from_dict({"a": [1, 2], "b": [0.5, None], "label": [0, 1]}))
        assert (numbers.modality, numbers.items[1]) == ("table", {"a": 2.0, "b": None})

    def test_missing_column_and_streams(self, hub):
        with pytest.raises(DataError, match=r"no column 'lable'.*Did you mean 'label'"):
            read(hub[1], labels="lable")
        with pytest.raises(DataError, match="streaming=False"):
            read(hub[1].to_iterable_dataset())


class TestArrays:
    def test_labels_become_strings(self):
        data = read((np.zeros((3, 8, 8), np.uint8), np.array([0, 1, 1])))
        assert data.labels == ["0", "1", "1"]
        assert data.items[0].shape == (8, 8)
        assert read((np.zeros((2, 8, 8, 3), np.float32), ["a", "b"])).labels == ["a", "b"]

    @pytest.mark.parametrize(
        ("pictures", "labels", "message"),
        [
            ([[1]], [0], "expected a numpy array"),
            (np.zeros((2, 3, 9, 9), np.uint8), [0, 1], "channels stand last"),
            (np.zeros((0, 9, 9), np.uint8), [], "there are none"),
            (np.zeros((2, 9, 9), np.int32), [0, 1], "expected uint8 or floats"),
            (np.full((2, 9, 9), 255.0), [0, 1], "divide by 255"),
            (np.full((2, 9, 9), np.nan), [0, 1], r"expected \[0, 1\]"),
            (np.zeros((2, 9, 9), np.uint8), [0], "2 pictures and 1 labels"),
            (np.zeros((2, 9, 9), np.uint8), [0, float("nan")], "missing"),
        ],
    )
    def test_wrong_arrays(self, pictures, labels, message):
        with pytest.raises(DataError, match=message):
            read((pictures, labels))


class TestKinds:
    """Pictures, texts, recordings and rows are told apart."""

    def test_folders_of_texts_and_sounds(self, tmp_path):
        texts = read(fill(tmp_path / "t", "good/1.txt", "good/2.MD", "bad/3.text", "README.txt", "bad/licence.md"))
        assert (texts.modality, texts.labels) == ("text", ["bad", "good", "good"])
        assert texts.notes == ("2 files that are no texts were left out (.txt 1, .md 1)",)
        sounds = read(fill(tmp_path / "s", "a/1.wav", "a/2.ogg", "b/3.mp3", "b/4.FLAC", "b/5.opus", "b/6.aiff"))
        assert (sounds.modality, len(sounds)) == ("audio", 6)
        assert all(isinstance(item, Path) for item in sounds.items)

    def test_a_few_files_of_another_kind_are_left_out(self, tmp_path):
        data = read(fill(tmp_path, *(f"a/{i}.png" for i in range(40)), "b/x.wav", "b/x.png"))
        assert (data.modality, len(data)) == ("image", 41)
        assert data.notes == ("1 files that are no pictures were left out (.wav 1)",)

    def test_mixed_folders_need_a_choice(self, tmp_path):
        fill(tmp_path, "a/1.png", "a/1.txt", "b/2.png", "b/3.png", "b/x.wav")
        with pytest.raises(DataError, match=r"mixes 3 pictures and 1 text and 1 recording.*--modality image"):
            read(tmp_path)
        assert len(read(tmp_path, modality="image")) == 3
        sounds = read(tmp_path, modality="audio")
        assert (sounds.modality, sounds.names) == ("audio", ["b/x.wav"])
        with pytest.raises(DataError, match="holds no rows"):
            read(tmp_path, modality="table")
        with pytest.raises(ConfigError, match="Did you mean 'audio'"):
            read(tmp_path, modality="adio")

    def test_labels_out_of_flat_names(self, tmp_path):
        fill(tmp_path, "0_ann_1.wav", "1_bob_1.wav", "more/1_ann_2.wav")
        data = read(tmp_path, labels=r"(\d)_[a-z]", group="_([a-z]+)_")
        assert (data.labels, data.groups) == (["0", "1", "1"], ["ann", "bob", "ann"])
        with pytest.raises(DataError, match=r"labels '.*' is not found in 1 of 3 paths: more/1_ann_2"):
            read(tmp_path, labels=r"^(\d)")
        with pytest.raises(DataError, match="has 2 groups in parentheses"):
            read(tmp_path, labels=r"(\d)_(\d)")
        with pytest.raises(DataError, match=r"no class folders.*--labels"):
            read(fill(tmp_path / "flat", "0_ann_1.wav"))

    def test_labels_out_of_names_keep_the_splits(self, tmp_path):
        data = read(fill(tmp_path, "train/0_a.wav", "train/1_a.wav", "test/0_b.wav"), labels=r"(\d)_")
        assert (data.labels, data.declared) == (["0", "0", "1"], ["test", "train", "train"])

    def test_a_column_of_paths_tells_its_kind(self, tmp_path):
        fill(tmp_path, "1.wav", "2.wav", "3.png")
        (tmp_path / "a.csv").write_text("file,label\n1.wav,x\n2.wav,y\n3.png,x\n")
        with pytest.raises(DataError, match=r"'file' of .* mixes 2 recordings and 1 picture"):
            read(tmp_path / "a.csv")
        data = read(tmp_path / "a.csv", modality="audio")
        assert (data.modality, data.labels) == ("audio", ["x", "y"])
        assert data.notes == ("1 rows whose files are no recordings were left out",)
        with pytest.raises(DataError, match="holds no texts; --modality audio"):
            read(tmp_path / "a.csv", paths="file", modality="text")


class TestTexts:
    def csv(self, root: Path, text: str, name: str = "a.csv") -> Path:
        (root / name).write_text(text, "utf-8")
        return root / name

    def test_a_column_of_texts(self, tmp_path):
        data = read(self.csv(tmp_path, 'Text,label,id\n"yes, fine",pos,1\n,neg,2\n'))
        assert (data.modality, data.items, data.labels) == ("text", ["yes, fine", ""], ["pos", "neg"])
        assert data.names == ["row 1", "row 2"]
        assert data.notes == ("the texts stand in the column 'Text'; left out: id",)

    def test_a_named_column_and_one_that_is_not_there(self, tmp_path):
        path = self.csv(tmp_path, "title,tweet,label\nA,hello,x\nB,bye,y\n")
        assert read(path, text="tweet").items == ["hello", "bye"]
        assert read(path).items == ["A", "B"]
        with pytest.raises(DataError, match=r"Did you mean 'tweet'\? Name the right one with --text \(text=\.\.\."):
            read(path, text="tweets")
        with pytest.raises(DataError, match=r"--paths .* or --text .*, not both"):
            read(path, text="tweet", paths="title")

    def test_a_lone_column_of_long_strings_holds_texts(self, tmp_path):
        path = self.csv(tmp_path, "verbatim,n,label\nthis is quite a long sentence,1,x\nand so is this one here,2,y\n")
        assert read(path).modality == "text"
        assert "'verbatim'" in read(path).notes[0]
        assert read(path, modality="table").items[0] == {"verbatim": "this is quite a long sentence", "n": 1.0}
        short = self.csv(tmp_path, "town,n,label\nRome,1,x\nParis,2,y\n")
        assert read(short).modality == "table"

    def test_usual_names_of_numbers_are_no_texts(self, tmp_path):
        assert read(self.csv(tmp_path, "query,b,label\n1,2,x\n3,4,y\n")).modality == "table"

    def test_a_text_longer_than_the_limit_of_the_csv_module(self, tmp_path):
        import csv

        limit = csv.field_size_limit()
        data = read(self.csv(tmp_path, f"text,label\n{'long ' * 40_000},x\nshort,y\n"))
        assert len(data.items[0]) == 200_000
        assert csv.field_size_limit() == limit

    def test_jsonl_and_parquet(self, tmp_path):
        import pyarrow
        import pyarrow.parquet

        lines = "\n".join(map(json.dumps, [{"review": "a b", "label": 1}, {"label": 0}]))
        assert read(self.csv(tmp_path, lines, "a.jsonl")).items == ["a b", ""]
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None], "label": [0, 1]}), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet").items == ["a", ""]

    @pytest.mark.parametrize("name", ["class", "target", "Category", "sentiment", "intent", "y"])
    def test_usual_names_of_labels(self, tmp_path, name):
        data = read(self.csv(tmp_path, f"text,{name}\na,x\nb,y\n"))
        assert data.labels == ["x", "y"]
        assert data.notes == (
            f"the labels were taken from the column {name!r}; --labels (labels=... in Python) names another",
        )

    def test_two_of_them_need_a_choice(self, tmp_path):
        path = self.csv(tmp_path, "text,category,intent\na,x,1\nb,y,2\n")
        with pytest.raises(DataError, match=r"'category' and 'intent' could be meant.*--labels"):
            read(path)
        assert read(path, labels="intent").labels == ["1", "2"]


class TestFeatures:
    def test_types_and_gaps(self, tmp_path):
        rows = ["id,age,town,load,when,label", "1,63,Rome,?,,a", "2,NA,,1e-3,,b", "3,4.5,Oslo,1_000,,a"]
        (tmp_path / "a.csv").write_text("\n".join(rows))
        data = read(tmp_path / "a.csv")
        assert data.modality == "table"
        assert data.items[:2] == [
            {"age": 63.0, "town": "Rome", "load": None},
            {"age": None, "town": None, "load": "1e-3"},
        ]
        assert data.notes == (
            "columns that are no features were left out: 'id' (it numbers the rows), 'when' (empty)",
            "the rows have 3 features, 1 of numbers and 2 of categories; 3 of 9 values are missing",
        )

    def test_labels_groups_and_splits_are_no_features(self, tmp_path):
        (tmp_path / "a.csv").write_text("a,label,who,split\n1,x,p,train\n2,y,q,test\n")
        data = read(tmp_path / "a.csv", group="who")
        assert data.items == [{"a": 1.0}, {"a": 2.0}]
        with pytest.raises(DataError, match="no column of features"):
            (tmp_path / "b.csv").write_text("label\nx\ny\n")
            read(tmp_path / "b.csv")

    def test_files_under_an_unusual_name_are_no_categories(self, tmp_path):
        (tmp_path / "a.csv").write_text("scan,n,label\na.png,1,x\nb.png,2,y\n")
        with pytest.raises(DataError, match=r"no column of pictures.*'scan' looks like one; name it with --paths"):
            read(tmp_path / "a.csv")


class TestSplitTables:
    def fill(self, root: Path, **tables: str) -> Path:
        for name, text in tables.items():
            (root / f"{name}.csv").write_text(text)
        return root

    def test_splits_are_declared(self, tmp_path):
        self.fill(tmp_path, train="text,label\na,x\nb,y\n", dev="label,text\nx,c\n", test="text,label\nd,y\n")
        (tmp_path / "LICENSE").write_text("free")
        data = read(tmp_path)
        assert data.items == ["a", "b", "c", "d"]
        assert data.labels == ["x", "y", "x", "y"]
        assert data.declared == ["train", "train", "valid", "test"]
        assert data.names[1:3] == ["row 2 of train.csv", "row 1 of dev.csv"]
        assert data.notes == ("files that are no tables were left out: LICENSE",)

    def test_features_are_typed_together(self, tmp_path):
        data = read(self.fill(tmp_path, train="a,label\n1,x\n2,y\n", test="a,label\nred,x\n"))
        assert data.items == [{"a": "1"}, {"a": "2"}, {"a": "red"}]

    def test_a_test_table_without_labels_is_left_out(self, tmp_path):
        data = read(self.fill(tmp_path, train="text,label\na,x\nb,y\n", test="text\nc\n"))
        assert data.items == ["a", "b"]
        assert "left out, for there is no column 'label': test.csv" in data.notes

    def test_other_columns_and_missing_labels(self, tmp_path):
        self.fill(tmp_path, train="text,label\na,x\nb,\n", test="text,label,more\na,x,1\n")
        with pytest.raises(DataError, match=r"test\.csv has the columns .*'more'.*expected the same"):
            read(tmp_path)
        (tmp_path / "test.csv").unlink()
        found = read(tmp_path)
        assert list(found.labels) == ["x"] and list(found.items) == ["a"]
        assert any(note.startswith("1 of 2 rows have no label") and "2 of train.csv" in note for note in found.notes)

    def test_one_reader_for_every_folder(self, tmp_path):
        from headstart.data.readers import folder, split_tables

        for names in ({"train"}, {"train", "test"}, {"test"}, {"train", "labels"}, set()):
            root = tmp_path / "-".join(sorted(names) or ["none"])
            root.mkdir()
            self.fill(root, **dict.fromkeys(names, "text,label\na,x\n"))
            assert split_tables.accepts(root) == ("train" in names and "labels" not in names)
            assert folder.accepts(root) != split_tables.accepts(root)
        fill(tmp_path / "train", "cat/1.png")
        assert folder.accepts(tmp_path / "train")


class TestMemory:
    def test_texts_sounds_and_rows(self):
        texts = read((["a b", "c"], [0, 1]))
        assert (texts.modality, texts.items, texts.names) == ("text", ["a b", "c"], ["text 0", "text 1"])
        assert read((np.array(["a b", "c"]), [0, 1])).items == ["a b", "c"]
        sound = Sound(np.zeros(9, np.float32), 8000)
        sounds = read(([sound, sound], None))
        assert (sounds.modality, sounds.items[0]) == ("audio", sound)
        rows = read((np.array([[1.0, np.nan], [2.0, 3.0]]), ["x", "y"]))
        assert rows.modality == "table"
        assert [dict(row) for row in rows.items] == [{"x0": 1.0, "x1": None}, {"x0": 2.0, "x1": 3.0}]
        assert "x2" not in rows.items[0]

    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            ([np.zeros(9)], r"type ndarray; .*hs\.Sound\(samples, rate\)"),
            (["a", 1], "type int, str"),
            ([], "type nothing"),
            (np.array([[1.0, np.inf]]), "infinite"),
            (np.zeros((1, 0)), "at least one row"),
        ],
    )
    def test_what_cannot_be_read(self, samples, message):
        with pytest.raises(DataError, match=message):
            read((samples, ["x"] * len(samples)))

    def test_another_modality(self):
        with pytest.raises(DataError, match="leave out --modality"):
            read((["a"], ["x"]), modality="image")


def test_sources_of_no_known_kind(tmp_path):
    with pytest.raises(DataError, match="There is no file or folder"):
        read(tmp_path / "gone")
    fill(tmp_path, "one.png")
    with pytest.raises(DataError, match=r"Cannot read the file .*one\.png"):
        read(tmp_path / "one.png")
    with pytest.raises(DataError, match="an object of type int"):
        read(7)


def test_reading_loads_no_heavy_library():
    import subprocess
    import sys

    code = "import sys, headstart.data; print({'torch', 'PIL', 'pyarrow', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
