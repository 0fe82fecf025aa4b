"""How samples of a stretch are laid out: in blocks that are not too wide, and never cut through a worker."""

from coordinator.domain.figures import Figures, Line, merged
from coordinator.domain.statistics import EPOCH
from coordinator.storage.measuring import WIDEST, blocks_of
from coordinator.storage.packing import block_of, row_of


def test_many_workers_are_in_several_blocks_and_the_cores_of_one_are_in_one() -> None:
    lines: list[tuple[Line, Figures]] = [
        ((f"node-{number:03}", core), Figures.of([float(number * core)], sketched=False))
        for number in range(40)
        for core in (1, 2, 3)
    ]
    blocks = [block for _, _, block in blocks_of(EPOCH, {("core", "variant"): lines})]
    named = [set(block.workers) for block in blocks]
    assert [len(one) for one in named] == [WIDEST["variant"], WIDEST["variant"], 8]
    assert set.intersection(*named) == set()
    assert merged(blocks) == dict(lines)


def test_a_block_is_the_same_after_it_was_a_row_however_many_values_it_counts() -> None:
    for many in (1, 2**31):
        figures = Figures.of([0.0, 0.5, 0.5, 2.0])
        wide = figures._replace(
            n=4 * many,
            sketch=figures.sketch
            and figures.sketch._replace(tallies=[many * tally for tally in figures.sketch.tallies]),
        )
        ((_, _, block),) = blocks_of(EPOCH, {("cpu", "worker"): [(("a", None), wide), (("b", None), figures)]})
        level, metric, split, at, first, last, *columns = row_of("5m", "cpu", "worker", block)
        assert (level, metric, split, first, last) == ("5m", "cpu", "worker", "a", "b")
        back = block_of([at, *columns])
        assert [list(back.keys), list(back.ends)] == [block.keys, block.ends]
        assert merged([back])["a", None].n == 4 * many
        assert back.percentiles(0.75) == block.percentiles(0.75)
