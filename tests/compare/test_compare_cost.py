from pathlib import Path

from compare_files import tree

from geoconvlora.compare import CompareConfig
from geoconvlora.compare.config import RunKey
from geoconvlora.compare.cost import measure_cost
from geoconvlora.training.sources import open_sources


def test_recomputing_is_in_the_memory_of_a_step(place: Path, tmp_path: Path) -> None:
    rows = [
        {"name": "kept", "method": "lora"},
        {"name": "again", "method": "lora", "overrides": {"optim.recompute": True}},
    ]
    config = CompareConfig.model_validate(tree(place, methods=rows))
    memory = []
    for row in ("kept", "again"):
        run = config.run_config(RunKey(row, 1.0, 0), ("00", "01", "02"), ("03",), 3, tmp_path)
        memory.append(measure_cost(run, open_sources(run).train).step_memory_mib)
    assert memory[1] < 0.9 * memory[0]
