import pytest
import torch

from headstart import models
from headstart.errors import ModelError, UnknownModel
from headstart.models.zoo import assemble, fill
from headstart.models.zoo.families import Families, card_of
from tiny_models import CELLS


@pytest.mark.parametrize("name", Families().names())
def test_there_are_no_weights_to_fetch_and_it_says_so(name: str) -> None:
    with pytest.raises(ModelError, match=f"architecture without weights.*families/{name}"):
        models.load(f"families:{name}")


def test_unknown_families_and_arguments() -> None:
    with pytest.raises(UnknownModel, match="transformer_xl"):
        models.load("families:lenet", pretrained=False)
    with pytest.raises(ModelError, match="do not fit families/vggish"):
        assemble(card_of("vggish").replace(arguments={"width": 3}), "mine", None)


def test_no_layer_is_kept_that_the_features_do_not_pass_through(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("families-wavenet", "families-deepspeech", "families-deepspeech2", "families-yamnet"):
        names = {entry.partition(".")[0] for entry in CELLS[name].backbone(tmp_path).network.state_dict()}
        assert not names & {"end", "output", "classifier"}, name


def test_a_published_layout_is_read_and_its_head_left_out() -> None:
    made = assemble(
        card_of("deepspeech").replace(arguments={"hidden": 4, "context": 1, "recurrence": "birnn"}), "x", None
    )
    names = {"first": "fc1.fc", "second": "fc2.fc", "third": "fc3.fc", "fifth": "fc4.fc"}
    own = {n: torch.randn_like(v) for n, v in made.network.state_dict().items()}
    theirs = {}
    for name, value in own.items():
        module, _, rest = name.partition(".")
        theirs[f"{names[module]}.{rest}" if module in names else f"bi_rnn.{rest}"] = value
    theirs |= {"out.weight": torch.zeros(29, 4), "out.bias": torch.zeros(29)}
    fill(made, theirs, "x")
    assert all(torch.equal(value, own[name]) for name, value in made.network.state_dict().items())
    with pytest.raises(ModelError, match="layout that is known"):
        fill(made, {"nonsense": torch.zeros(1)}, "x")
