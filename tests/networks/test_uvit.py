"""UViT: shapes, conditions, the start, and the matrices it gives to Muon."""

import pytest
import torch

from marmor.base.conditions import ClassLabel, ObjectSet
from marmor.networks.layers import Context, ObjectVectors
from marmor.networks.uvit import Attention, UViT


def network(shape=(3, 28, 28), **options) -> UViT:
    torch.manual_seed(0)
    return UViT(shape, {"class": ClassLabel(4)}, channels=16, width=32, **options)


def stirred(net: UViT) -> UViT:
    """A network whose zero layers have left zero, as after training."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net


def inputs(shape=(3, 28, 28), count: int = 3):
    stream = torch.Generator().manual_seed(1)
    x = torch.randn(count, *shape, generator=stream)
    return x, torch.linspace(0.1, 0.9, count), {"class": torch.arange(count) % 5}


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 32, 32), (3, 16, 24), (2, 8, 8)])
def test_any_channels_and_sides_of_multiples_of_4(shape) -> None:
    x, t, conditions = inputs(shape)
    assert network(shape)(x, t, conditions).shape == x.shape


def test_other_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        network((3, 30, 28))


def test_finer_levels_stand_above_the_same_tokens() -> None:
    shape = (3, 32, 16)
    x, t, conditions = inputs(shape)
    with pytest.raises(ValueError, match="multiples of 16"):
        network((3, 24, 16), finer=(8, 12))
    net = stirred(network(shape, finer=(8, 12), mixers="a"))
    assert net.positions.shape == (2 * 1, 32)
    assert net.half_maps.shape == (4, 2, 16)
    before = net(x, t, conditions)
    assert before.shape == x.shape
    # Each pixel of a patch is seen, and has an answer of its own.
    moved = x.clone()
    moved[:, :, 7, 11] += 1
    assert (net(moved, t, conditions) - before)[:, :, 6:8, 10:12].abs().min() > 0
    assert len(before[0, 0, 6:8, 10:12].unique()) == 4
    named = dict(net.named_parameters())
    matrices = {id(matrix) for matrix in net.hidden_matrices()}
    for level in range(2):
        for name in ("encode.first", "down", "up", "decode.second"):
            weight = named[f"finer.{level}.{name}.weight"]
            assert id(weight) in matrices
            kept = weight.detach().clone()
            with torch.no_grad():
                weight.copy_(kept.flip(0))
                assert not torch.allclose(net(x, t, conditions), before, atol=1e-4), name
                weight.copy_(kept)


def test_it_starts_at_zero() -> None:
    assert network()(*inputs()).abs().max() == 0


def test_time_and_every_label_matter_and_batch_mates_do_not() -> None:
    net = stirred(network()).eval()
    x, t, conditions = inputs()
    out = net(x, t, conditions)
    assert not torch.allclose(net(x, t * 0.5, conditions), out, atol=1e-3)
    for label in range(5):
        if label != conditions["class"][0]:
            other = {"class": torch.tensor([label])}
            assert not torch.allclose(net(x[:1], t[:1], other), out[:1], atol=1e-3)
    alone = net(x[1:2], t[1:2], {"class": conditions["class"][1:2]})
    assert torch.allclose(alone, out[1:2], atol=1e-5)


def test_rows_and_columns_are_not_swapped() -> None:
    """A pixel far from another is reached by attention, but its own place answers most."""
    net = stirred(network((1, 16, 32), mixers=""))
    x, t, conditions = inputs((1, 16, 32), 1)
    moved = x.clone()
    moved[0, 0, 2, 25] += 1
    change = (net(moved, t, conditions) - net(x, t, conditions)).abs()[0, 0]
    row, column = divmod(int(change.argmax()), 32)
    assert abs(row - 2) <= 8
    assert abs(column - 25) <= 8
    assert change[:, :4].max() == 0


def test_attention_is_the_softmax_of_scaled_cosines() -> None:
    torch.manual_seed(0)
    layer = stirred_attention()
    x = torch.randn(2, 5, 8)
    query, key, value = (part(x) for part in (layer.query, layer.key, layer.value))
    outputs = []
    for head in range(2):
        q, k, v = (part[..., 4 * head : 4 * head + 4] for part in (query, key, value))
        cosine = torch.nn.functional.cosine_similarity(q[:, :, None], k[:, None], dim=-1)
        outputs.append((cosine * layer.log_temperature[head, 0, 0].exp()).softmax(-1) @ v)
    expected = layer.out(torch.cat(outputs, -1))
    assert torch.allclose(layer(x), expected, atol=1e-5)


def stirred_attention() -> Attention:
    layer = Attention(8, 2)
    with torch.no_grad():
        layer.out.weight.normal_()
    return layer


def test_muon_gets_hidden_matrices_only() -> None:
    net = network()
    matrices = {id(matrix) for matrix in net.hidden_matrices()}
    named = {name for name, parameter in net.named_parameters() if id(parameter) in matrices}
    assert all(parameter.ndim == 2 for parameter in net.hidden_matrices())
    assert "blocks.1.mixer.query.weight" in named
    assert "encode.first.weight" in named
    banned = ("stem", "head", "labels", "_maps", "positions", "modulation", "time")
    assert not [name for name in named if any(word in name for word in banned)]


def test_class_maps_act_at_their_place_on_their_class_alone() -> None:
    net = stirred(network((1, 16, 32), mixers=""))
    x, t, _ = inputs((1, 16, 32), 2)
    labels = {"class": torch.tensor([0, 1])}
    with torch.no_grad():
        before = net(x, t, labels)
        for maps, place, far in (
            (net.half_maps, (2, 12), slice(0, 12)),
            (net.token_maps, (1 * 8 + 6,), slice(0, 8)),
        ):
            kept = maps.shifts["class"].clone()
            maps.shifts["class"].view(5, *maps.shape)[1][place][0] += 3
            change = (net(x, t, labels) - before).abs()[:, 0]
            maps.shifts["class"].copy_(kept)
            assert change[0].max() == 0
            assert change[1, 4:6, 24:26].max() > 0.01
            assert change[1, :, far].max() == 0


def test_a_set_is_the_sum_of_its_objects_beside_a_class() -> None:
    torch.manual_seed(0)
    kinds = {"objects": ObjectSet(5), "class": ClassLabel(4)}
    net = stirred(UViT((3, 8, 8), kinds, channels=16, width=32))
    x, t, conditions = inputs((3, 8, 8))
    objects = ObjectSet(5)
    some = objects.encode(torch.eye(3, 5, dtype=torch.bool) | (torch.arange(5) == 4))
    vectors = net.labels["objects"]
    assert isinstance(vectors, ObjectVectors)
    torch.testing.assert_close(vectors(some)[1], vectors.weight[1] + vectors.weight[4])

    def drawn(values):
        return net(x, t, conditions | {"objects": values})

    empty = objects.encode(torch.zeros(3, 5, dtype=torch.bool))
    outputs = [drawn(values) for values in (some, some.flip(0), empty, objects.none(3))]
    for one in range(4):
        for other in range(one):
            assert not torch.allclose(outputs[one], outputs[other], atol=1e-4)
    maps = dict(net.token_maps.named_parameters())
    assert set(maps) == {"scales.class", "shifts.class"}


def test_tokens_of_a_set_are_attended_to_where_they_are_said() -> None:
    torch.manual_seed(0)
    attention = Attention(32, 2)
    torch.nn.init.normal_(attention.out.weight, std=0.3)
    x, tokens = torch.randn(2, 6, 32), torch.randn(2, 4, 32)
    said = torch.tensor([[True, False, True, False], [False] * 4])
    with torch.no_grad():
        whole = attention(x, Context(tokens, said))
        # As a longer sequence of which only what is said is there.
        joined = torch.cat([x[:1], tokens[:1, [0, 2]]], dim=1)
        torch.testing.assert_close(whole[:1], attention(joined)[:, :6])
        torch.testing.assert_close(whole[1:], attention(x[1:]))


def test_sets_are_attended_to_or_summed_alone_at_any_depth() -> None:
    kinds = {"objects": ObjectSet(5)}
    x, t, _ = inputs((3, 8, 8))
    values = {"objects": ObjectSet(5).encode(torch.eye(3, 5, dtype=torch.bool))}
    for depth, attends in ((0, True), (2, False)):
        torch.manual_seed(0)
        net = stirred(UViT((3, 8, 8), kinds, channels=16, width=32, depth=depth, attends=attends))
        assert len(net.labels["objects"].hidden) == 2 * depth
        with torch.no_grad():
            before = net(x, t, values)
            for name, parameter in net.named_parameters():
                if name.startswith("attended."):
                    parameter.copy_(parameter.flip(0))
            assert torch.equal(net(x, t, values), before) != attends
