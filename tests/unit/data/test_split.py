from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data import Dataset
from headstart.data.split import split
from headstart.errors import ConfigError, DataError


def dataset(labels, groups=None, declared=None) -> Dataset:
    count = len(labels)
    return Dataset([bytes([i % 256, i // 256]) for i in range(count)], [str(i) for i in range(count)],
                   list(labels), "image", groups, declared)  # fmt: skip


def sides(result) -> dict[str, str]:
    """Sample -> side; fails if a sample stands on two."""
    placed = [(name, side) for side in ("train", "valid", "test") for name in getattr(result, side).names]
    assert len(dict(placed)) == len(placed)
    return dict(placed)


class_sizes = st.lists(st.integers(2, 40), min_size=2, max_size=5)


@settings(deadline=None, max_examples=60)
@given(class_sizes, st.integers(0, 5))
def test_every_sample_is_placed_once_and_classes_keep_their_shares(counts, seed):
    labels = [str(code) for code, count in enumerate(counts) for _ in range(count)]
    result = split(dataset(labels), seed=seed)
    assert len(sides(result)) == len(labels)
    for side, share in (("train", 0.6), ("valid", 0.2), ("test", 0.2)):
        found = Counter(getattr(result, side).labels)
        assert all(abs(found[str(code)] - share * count) <= 1 for code, count in enumerate(counts))


@settings(deadline=None, max_examples=80)
@given(st.data(), class_sizes, st.integers(0, 3), st.booleans(), st.booleans())
def test_no_group_and_no_cluster_stands_on_two_sides(data, counts, seed, grouped, clustered):
    labels = [str(code) for code, count in enumerate(counts) for _ in range(count)]
    numbers = st.lists(st.integers(0, len(labels) // 2), min_size=len(labels), max_size=len(labels))
    groups = [f"g{i}" for i in data.draw(numbers)] if grouped else None
    clusters = data.draw(numbers) if clustered else None
    result = split(dataset(labels, groups), seed=seed, clusters=clusters)
    side = sides(result)
    assert len(side) == len(labels)
    for column in (groups, clusters):
        pairs = {(value, side[str(i)]) for i, value in enumerate(column or ())}
        assert len(pairs) == len({value for value, _ in pairs})
    assert set(result.train.labels) == set(labels)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(20, 60), st.booleans())
def test_declared_splits_share_no_copies(data, count, with_valid):
    labels = [str(i % 2) for i in range(count)]
    names = ["train", "train", "train", "test", *(["valid"] if with_valid else [])]
    declared = data.draw(st.lists(st.sampled_from(names), min_size=count, max_size=count))
    declared[:6] = ["train"] * 4 + ["test"] * 2
    clusters = [1000 + i for i in range(4)] + data.draw(
        st.lists(st.integers(0, count // 2), min_size=count - 4, max_size=count - 4)
    )
    result = split(dataset(labels, declared=declared), clusters=clusters)
    side = sides(result)
    pairs = {(clusters[int(name)], where) for name, where in side.items()}
    assert len(pairs) == len({cluster for cluster, _ in pairs})
    tests = {str(i) for i in range(count) if declared[i] == "test"}
    assert set(result.test.names) == tests


def test_the_same_seed_gives_the_same_split():
    data = dataset("ab" * 30)
    assert sides(split(data, seed=3)) == sides(split(data, seed=3))
    assert sides(split(data, seed=3)) != sides(split(data, seed=4))


def test_groups_keep_the_shares():
    labels = ["ab"[i % 3 == 0] for i in range(300)]
    result = split(dataset(labels, groups=[f"patient {i // 6}" for i in range(300)]))
    assert abs(len(result.test) - 60) <= 6
    assert abs(len(result.valid) - 60) <= 6
    assert abs(result.test.counts()["b"] / len(result.test) - 1 / 3) < 0.05


def test_large_clusters_leave_a_test_side():
    result = split(dataset(["a"] * 100 + ["b"] * 100), clusters=[i // 10 for i in range(200)])
    assert result.test.counts() == {"a": 20, "b": 20}
    assert result.valid.counts() == {"a": 20, "b": 20}
    assert "to keep near-copies together" in result.notes[0]


def test_a_class_of_one_group_goes_to_training():
    groups = ["g"] * 5 + [str(i) for i in range(20)]
    result = split(dataset("a" * 5 + "b" * 20, groups), test=0.7, valid=0.1)
    assert result.train.counts()["a"] == 5
    assert any("test has no sample of class 'a'" in note for note in result.notes)


def test_without_copies_clusters_change_nothing():
    data = dataset("ab" * 30)
    assert sides(split(data)) == sides(split(data, clusters=np.arange(60)))
    assert split(data, clusters=np.arange(60)).notes == ()


class TestDeclared:
    def test_missing_validation_is_cut_out_of_training(self):
        data = dataset("ab" * 50, declared=["train"] * 80 + ["test"] * 20)
        result = split(data)
        assert result.test.names == [str(i) for i in range(80, 100)]
        assert result.valid.counts() == {"a": 8, "b": 8}
        assert len(result.train) == 64
        assert result.notes == (
            "the data declares no valid split, so samples were taken out of training: 16 for valid",
        )

    def test_missing_test_is_cut_out_of_training(self):
        result = split(dataset("ab" * 50, declared=["train"] * 80 + ["valid"] * 20))
        assert (len(result.train), len(result.valid), len(result.test)) == (64, 20, 16)
        assert "no test split" in result.notes[0]

    def test_copies_of_test_pictures_leave_training(self):
        data = dataset("ab" * 50, declared=["train"] * 60 + ["valid"] * 20 + ["test"] * 20)
        clusters = np.arange(100)
        clusters[[0, 1, 61]] = clusters[[80, 81, 82]]  # two of train, one of valid
        clusters[2] = clusters[62]
        result = split(data, clusters=clusters)
        assert (len(result.train), len(result.valid), len(result.test)) == (57, 19, 20)
        assert result.notes == (
            "2 pictures in train/ were (near-)copies of test pictures and were moved out of training",
            "1 pictures in valid/ were (near-)copies of test pictures and were moved out of validation",
            "1 pictures in train/ were (near-)copies of valid pictures and were moved out of training",
        )

    def test_groups_on_two_sides_are_a_warning(self):
        groups = [str(i % 10) for i in range(60)]
        declared = ["train"] * 40 + ["valid"] * 10 + ["test"] * 10
        assert split(dataset("ab" * 30, groups, declared)).notes[0].startswith("warning: 10 groups")

    def test_a_class_that_training_lacks(self):
        with pytest.raises(DataError, match=r"test split has class 'c', which training lacks"):
            split(dataset("ababababc", declared=["train"] * 6 + ["test"] * 3))

    def test_no_training(self):
        with pytest.raises(DataError, match="no training samples"):
            split(dataset("abab", declared=["test"] * 4))


class TestShots:
    def test_training_and_validation_are_limited(self):
        data = dataset("ab" * 50 + "c" * 5)
        full, few = split(data, seed=1), split(data, seed=1, shots=5)
        assert few.train.counts() == {"a": 5, "b": 5, "c": 3}
        assert few.valid.counts() == {"a": 5, "b": 5, "c": 1}
        assert few.test.names == full.test.names
        assert set(few.train.names) < set(full.train.names)
        assert any("all taken: 'c' (3)" in note for note in few.notes)

    def test_wrong_number(self):
        with pytest.raises(ConfigError, match="shots=0"):
            split(dataset("abab"), shots=0)


def test_small_classes():
    result = split(dataset("aabbb"))
    assert result.train.counts() == {"a": 1, "b": 1}
    assert result.test.counts() == {"a": 1, "b": 1}
    assert result.valid.counts() == {"b": 1}
    assert any("valid has no sample of class 'a'" in note for note in result.notes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("aaaa", "one class, 'a'"),
        ("", "no samples"),
        ("aaabbbc", "class 'c' with a single sample: at least 2"),
    ],
)
def test_data_that_cannot_be_split(labels, message):
    with pytest.raises(DataError, match=message):
        split(dataset(labels))


def test_no_labels():
    with pytest.raises(DataError, match="no labels"):
        split(dataset("abab").without_labels())


def test_shares_out_of_range():
    with pytest.raises(ConfigError, match="less than 1"):
        split(dataset("abab"), test=0.5, valid=0.5)
