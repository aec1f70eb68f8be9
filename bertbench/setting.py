"""What the runner gives to every mode, whatever the mode."""

from pathlib import Path
from typing import NamedTuple, Protocol

from bertbench.progress import Checkpoints
from bertbench.runtime import Compute
from bertbench.store import Store
from bertbench.types import Log, Outcome, TaskData


class Setting(NamedTuple):
    """The encoder, the reading of texts, and the means of one transfer."""

    checkpoint: Path | None  # encoder and tokenizer in transformers' format; None: no encoder
    checkpoint_key: str  # names the content of `checkpoint`
    max_length: int  # tokens of a window
    long_text: str  # a key of data.encoding.LONG_TEXT
    metric: str  # validation chooses by it
    seed: int
    store: Store
    compute: Compute
    log: Log
    checkpoints: Checkpoints = Checkpoints()  # where training keeps its state meanwhile

    def need_checkpoint(self) -> Path:
        """Return the checkpoint of a mode that cannot do without."""
        if self.checkpoint is None:
            raise ValueError("this mode needs an encoder, and the setting has none")
        return self.checkpoint


class Mode(Protocol):
    """One way to use an encoder on a labelled task."""

    def fit(self, data: TaskData, setting: Setting) -> Outcome:
        """Learn from `data.train`, choose on `data.validation`, predict both other splits."""
        ...
