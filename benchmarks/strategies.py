"""Do the four batching strategies train to the same score? And what does the weighting of the loss do?

    python benchmarks/strategies.py --seeds 5 --processes 2 -o runs/strategies

Fine-tunes the pocket model as the laboratory does, once for each strategy and seed, and once more for each
seed with every target token weighing the same. The seed decides the order of the conversations. All models
answer the same held-out questions. Prints Markdown for RESULTS.md; a run that is done is not done again.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import mean, stdev

from boresight.lab.bench import CHAT, Lab
from boresight.pocket.conversations import held_out_conversations, training_conversations
from boresight.runs import read_run
from boresight.train.settings import STRATEGIES

CONVERSATIONS, QUESTIONS = 4000, 48
"""To learn from, and held out of each family."""

VARIANTS = {s: {"batching": s, "loss": "sequence"} for s in STRATEGIES} | {
    "balanced, tokens weighing the same": {"batching": "balanced", "loss": "token"}
}


def main() -> None:
    args = arguments()
    if args.only:
        print(*score(args.only, args.seed, args.output))
        return
    data(Lab("pocket", args.output))
    jobs = [(variant, seed) for seed in range(args.seeds) for variant in VARIANTS]
    with ThreadPoolExecutor(args.processes) as pool:
        scores = dict(zip(jobs, pool.map(lambda job: in_a_process(*job, args.output), jobs), strict=True))
    print(table(scores, args.seeds))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Held-out scores by batching strategy and loss weighting.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2, help="runs at the same time, a thread each")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def data(lab: Lab) -> tuple[Path, Path]:
    """Conversations to learn from, and questions."""
    learned = lab.written("conversations", training_conversations(CONVERSATIONS, seed=1))
    return learned, lab.written("questions", held_out_conversations(QUESTIONS, seed=2))


def in_a_process(variant: str, seed: int, output: Path) -> tuple[int, int, float]:
    """A score from a fresh process with one thread: two of them would get into each other's way."""
    command = [sys.executable, __file__, "--only", variant, "--seed", str(seed), "-o", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    correct, total, loss = done.stdout.splitlines()[-1].split()
    return int(correct), int(total), float(loss)


def score(variant: str, seed: int, output: Path) -> tuple[int, int, float]:
    """Right answers, questions, and the last step's loss."""
    lab, name = Lab("pocket", output), f"{variant.replace(', ', '-').replace(' ', '-')}-{seed}"
    conversations, questions = data(lab)
    model = lab.fine_tuned(name, conversations, epochs=1, seed=seed, precision="fp32", **VARIANTS[variant])
    (answers,) = lab.asked(name, model, CHAT, questions).values()
    right = sum(answer.correct for answer in answers)
    return right, len(answers), read_run(output / "arms" / name)["counts"]["last_loss"]


def table(scores: dict[tuple[str, int], tuple[int, int, float]], seeds: int) -> str:
    total = next(iter(scores.values()))[1]
    lines = [
        f"{date.today()}; {seeds} seeds, {total} held-out questions.\n",
        "| variant | right, by seed | mean | standard deviation over seeds | last loss, first seed |",
        "|---|---|--:|--:|--:|",
    ]
    for variant in VARIANTS:
        right = [scores[variant, seed][0] for seed in range(seeds)]
        shares = [count / total for count in right]
        spread = f"{stdev(shares):.1%}" if seeds > 1 else "—"
        lines.append(
            f"| {variant} | {' '.join(map(str, right))} | {mean(shares):.1%} | {spread} "
            f"| {scores[variant, 0][2]:.6f} |"
        )
    apart = [
        max(scores[s, seed][0] for s in STRATEGIES) - min(scores[s, seed][0] for s in STRATEGIES)
        for seed in range(seeds)
    ]
    return "\n".join([*lines, f"\nBetween strategies of one seed: at most {max(apart)} questions."])


if __name__ == "__main__":
    main()
