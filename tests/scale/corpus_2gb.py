"""Pretrain on a corpus of gigabytes through the front door; print peak memory and times.

    python tests/scale/corpus_2gb.py --gigabytes 2 --kill-after 20 -- runtime.threads=2

Makes the corpus of a smaller one with words changed, so that no document repeats another. With
--kill-after, the run is killed so many seconds into tokenising, once more so many seconds into
pretraining, and started again. With --tokenise-only the front door is left out.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SETTINGS = [
    "corpus=files", "pretrain.tokens=200_000", "mode=frozen", "task.labels_per_class=2",
]  # fmt: skip
CHANGED = 0.1  # share of a document's words that are replaced by others of the corpus
SHARD, PRETRAINING = "[0-9]*-*-*.safetensors", "pretraining "  # what tells the parts of a run
EVERY = 0.1  # seconds between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")

TOKENISE = """
import itertools, json, sys
from pathlib import Path

def documents():
    with open(sys.argv[1], encoding="utf-8") as lines:
        yield from (json.loads(line)["text"] for line in lines)

if __name__ == "__main__":  # the processes that share the work import this file, and stay small
    from bertbench import tokenizer
    from bertbench.data.tokenise import describe, tokenise

    folder = Path(sys.argv[2])
    some = list(itertools.islice(documents(), 1000))
    cutter = tokenizer.wordpiece(some, vocab_size=8192, lowercase=True)
    given = {"processes": int(sys.argv[3]) or None, "work": folder / "work"}
    print(describe(tokenise(documents(), cutter, folder / "made", deduplicate=True, **given)))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--seed-corpus", type=Path, help=".jsonl or .txt; BBC News by default")
    parser.add_argument(
        "--folder", type=Path, help="to work in; stays. A temporary one by default"
    )
    parser.add_argument("--kill-after", type=float, help="seconds into each part")
    parser.add_argument("--tokenise-only", action="store_true")
    parser.add_argument(
        "--processes", type=int, default=0, help="of --tokenise-only; 0: all cores"
    )
    parser.add_argument("settings", nargs="*", help="of the run, after --")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        corpus = folder / "corpus.jsonl"
        if not corpus.exists():
            started = time.perf_counter()
            made = write_corpus(corpus, seed_texts(given.seed_corpus), int(given.gigabytes * 1e9))
            print(f"{made:,} documents made in {time.perf_counter() - started:.0f} s", flush=True)
        run(folder, command(given, folder, corpus), given.kill_after, given.tokenise_only)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


def seed_texts(path):
    if path is None:
        from bertbench.data.bbc import corpus

        return corpus()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line)["text"] for line in text.split("\n") if line.strip()]
    return [document for document in text.split("\n\n") if document.strip()]


def write_corpus(path, texts, size):
    """Write copies of `texts` with words changed until `size` bytes are there; return how many."""
    documents = [text.split(" ") for text in texts]
    vocabulary = sorted({word for words in documents for word in words if word.isalpha()})
    part = path.with_suffix(".part")
    written = made = 0
    with part.open("w", encoding="utf-8") as file:
        while written < size:
            generator = np.random.default_rng(made)
            for words in documents:
                changed = list(words)
                count = max(1, int(CHANGED * len(words)))
                places = generator.integers(len(words), size=count).tolist()
                others = generator.integers(len(vocabulary), size=count).tolist()
                for place, other in zip(places, others, strict=True):
                    changed[place] = vocabulary[other]
                line = json.dumps({"text": " ".join(changed)}, ensure_ascii=False) + "\n"
                file.write(line)
                written += len(line.encode())
                made += 1
                if written >= size:
                    break
    part.replace(path)
    return made


def command(given, folder, corpus):
    if given.tokenise_only:
        program = folder / "tokenise.py"
        program.write_text(TOKENISE)
        return [sys.executable, program, corpus, folder, str(given.processes)]
    settings = [*SETTINGS, f"corpus.path={corpus}", *given.settings]
    return [sys.executable, "-m", "bertbench", *settings]


def run(folder, line, kill_after, tokenise_only):
    """Run a command to its end, killed on the way if asked for, and print what it took."""
    parts = ["tokenising"] if tokenise_only else ["tokenising", "pretraining"]
    for part in parts if kill_after is not None else []:
        watched = Watched(folder, line)
        while watched.running() and watched.seconds(part) < kill_after:
            time.sleep(0.05)
        watched.finish(kill=True)
        print(f"killed {kill_after:g} s into {part}: {watched.summary()}", flush=True)
    watched = Watched(folder, line)
    code = watched.finish()
    print(f"exit code {code}: {watched.summary()}", flush=True)
    if code or tokenise_only:
        print(watched.said())
    sys.exit(1 if code else 0)


class Watched:
    """A process and its children, whose memory is looked at while they run.

    Args:
        folder: Where it runs and what it says is kept.
        line: The command.
    """

    def __init__(self, folder, line):
        self.folder, self.log = folder, folder / "said.log"
        self.before = self.log.stat().st_size if self.log.exists() else 0
        self.peaks = {}  # by part: bytes resident, and those of them that no file backs
        self.begins = {"starting": time.perf_counter()}
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                line, cwd=folder, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[1:])},
            )  # fmt: skip
        self.shards = self._count()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _count(self):
        return sum(1 for _ in self.folder.rglob(SHARD))

    def _watch(self):
        while self.process.poll() is None:
            part = self._part()
            self.begins.setdefault(part, time.perf_counter())
            resident, anonymous = memory(self.process.pid)
            old = self.peaks.get(part, (0, 0))
            self.peaks[part] = (max(old[0], resident), max(old[1], anonymous))
            time.sleep(EVERY)

    def _part(self):
        if "pretraining" in self.begins or PRETRAINING in self.said():
            return "pretraining"
        if "tokenising" in self.begins or self._count() > self.shards:
            return "tokenising"
        return "starting"

    def running(self):
        return self.process.poll() is None

    def said(self):
        return self.log.read_bytes()[self.before :].decode(errors="replace")

    def seconds(self, part):
        begin = self.begins.get(part)
        return -1.0 if begin is None else time.perf_counter() - begin

    def finish(self, *, kill=False):
        """Wait, or kill all of it as a power cut would; return the exit code."""
        if kill and self.running():
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self.end = time.perf_counter()
        self.thread.join()
        return code

    def summary(self):
        """Return peak memory over all processes and wall time, by part."""
        ends = [*list(self.begins.values())[1:], self.end]
        return "; ".join(
            f"{part} {end - begin:.1f} s, {self.peaks.get(part, (0, 0))[0] / 1e6:.0f} MB resident "
            f"({self.peaks.get(part, (0, 0))[1] / 1e6:.0f} MB without mapped files)"
            for (part, begin), end in zip(self.begins.items(), ends, strict=True)
        )


def memory(root):
    """Return bytes resident in a process and all below it, and those that no file backs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    resident = anonymous = 0
    below = [root]
    while below:
        process = below.pop()
        below += parents.get(process, [])
        try:
            pages = [int(n) for n in Path(f"/proc/{process}/statm").read_text().split()]
        except OSError:
            continue
        resident += pages[1] * PAGE
        anonymous += (pages[1] - pages[2]) * PAGE
    return resident, anonymous


if __name__ == "__main__":
    main()
