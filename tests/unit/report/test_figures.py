"""Where the report's pictures put their marks."""

from hypothesis import given
from hypothesis import strategies as st

from headstart.report import figures

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_scale_holds_its_values_between_round_ticks(values: list[float]) -> None:
    axis = figures.scale(values)
    slack = 1e-3 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 12
    assert axis.at(axis.low) == 0
    assert axis.at(axis.high) == 100


def test_forest_positions() -> None:
    plot = figures.forest([{"baseline": "scratch", "gain": 0.1, "interval": [-0.1, 0.3]}])
    assert plot is not None
    assert [tick["text"] for tick in plot["ticks"]] == ["−10", "0", "+10", "+20", "+30"]
    row = plot["rows"][0]
    assert (plot["zero"], row["left"], row["dot"], row["width"]) == (25, 0, 50, 100)
    assert row["answer"].endswith("no clear gain")  # the interval holds zero


def test_a_comparison_without_a_gain_is_not_drawn() -> None:
    assert figures.forest([{"baseline": "scratch", "gain": None}, 7]) is None
    assert figures.forest(None) is None


def test_curves_keep_the_order_of_stages_and_mark_the_best_epoch() -> None:
    lines = [{"stage": s, "epoch": e, "valid_loss": loss} for s in "ba" for e, loss in enumerate([3.0, 1.0, 2.0])]
    stages = figures.curves(lines)
    assert [stage["stage"] for stage in stages] == ["b", "a"]
    (picture,) = stages[0]["pictures"]
    assert picture["text"] == "validation: from 3 to 2, best 1 at epoch 1"
    assert picture["best"]["x"] == picture["lines"][0]["points"][1][0]


def test_a_single_epoch_is_a_dot_in_the_middle() -> None:
    (stage,) = figures.curves([{"stage": "a", "epoch": 4, "valid_accuracy": 0.0}])
    ((x, y, _, _),) = stage["pictures"][0]["lines"][0]["points"]
    assert 0 < x < figures.WIDTH
    assert 0 < y < figures.HEIGHT


def test_bars_name_the_commonest_class_and_its_share_of_the_test() -> None:
    counts = {"train": {"a": 1, "b": 9}, "test": {"a": 3, "b": 1}}
    rows = figures.bars({"scores": {"accuracy": 0.9}}, counts)
    assert [(row["kind"], row["text"]) for row in rows] == [("model", "90.0%"), ("chance", "25.0%")]


def test_a_hundred_classes_are_a_few_paths() -> None:
    size = 100
    matrix = [[1] * size for _ in range(size)]
    found = figures.confusion(matrix, [str(i) for i in range(size)], readable=30)
    assert found is not None
    assert len(found["shades"]) == 2
    assert sum(shade["path"].count("M") for shade in found["shades"]) == size * size
