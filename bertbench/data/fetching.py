"""The name of a data set on the Hugging Face hub in, its rows out: fetched once, then cached."""

import os
import re
from typing import TYPE_CHECKING

from bertbench.errors import UserError
from bertbench.network import reachable

if TYPE_CHECKING:
    from datasets import Dataset

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
TRUE = ("1", "ON", "YES", "TRUE")  # as `huggingface_hub` reads its variables


def check_id(name: object, key: str) -> None:
    """Refuse what is no hub id: `datasets` reads "csv" as what lies in the working folder.

    Args:
        name: Of the data set.
        key: Of the setting that names it, such as `corpus`, for the error.

    Raises:
        UserError: It is none.
    """
    if not HUB_ID.fullmatch(str(name)):
        raise UserError(f"{key}.name={name} is no hub id: name a data set as OWNER/NAME")


def fetch(
    name: str,
    config: str | None,
    split: str,
    *,
    key: str,
    place: str,
    instead: str,
    revision: str | None = None,
) -> "Dataset":
    """Return one split of a data set; the first call fetches it into the local cache.

    Without a network, the last one that was fetched is read, of whichever revision.

    Args:
        name: Its hub id.
        config: Its configuration; None where there is but one.
        split: The part of it, also with a slice: `train[:10%]`.
        key: Of the setting that names it, such as `corpus`, for the errors.
        place: All settings that name it, for the errors.
        instead: What to choose where there is no network.
        revision: A branch, tag or commit; None takes the newest.

    Raises:
        UserError: The hub cannot be reached and the data set is not in the cache, or the hub has no such
            data set, configuration or split.
    """
    online = os.environ.get("HF_HUB_OFFLINE", "").upper() not in TRUE and reachable()
    if not online:
        os.environ["HF_HUB_OFFLINE"] = "1"  # or each call waits half a minute for the network
    import datasets
    from datasets import config as library
    from huggingface_hub.errors import HfHubHTTPError

    if not online:
        library.HF_HUB_OFFLINE = True  # where it had been imported before
    try:
        # The prefix keeps a folder of that name here from being read instead.
        loaded = datasets.load_dataset(
            f"hf://datasets/{name}", config, split=split, revision=revision, keep_in_memory=False
        )
    except ConnectionError as error:
        raise UserError(
            f"{key}.name={name} is on the Hugging Face hub, which cannot be reached from here, and is not "
            f"in the local cache: load it once where there is a network, or choose {instead}"
        ) from error
    except (HfHubHTTPError, FileNotFoundError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{place} cannot be loaded ({said:.300}): name another") from error
    assert isinstance(loaded, datasets.Dataset)
    return loaded
