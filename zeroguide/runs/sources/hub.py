"""Data sets of the Hugging Face hub: `hf://datasets/OWNER/NAME[@REVISION][/PATH]`.

What is needed of the repository is downloaded into the hub's cache, and then it is a local folder:
its Parquet files if it has any, else its tars, else its images.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from zeroguide.errors import UsageError
from zeroguide.runs.sources.files import IMAGE, SUFFIXES
from zeroguide.runs.sources.item import reason
from zeroguide.runs.sources.walk import TABLE, TAR

PREFIX = "hf://"
# Next to tables and tars, images are previews.
KINDS = {TABLE: "parquet", TAR: "tar tar.gz tgz", IMAGE: SUFFIXES}
_SHAPE = re.compile(
    r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(?P<path>.*))?"
)


@dataclass(frozen=True)
class Part:
    """A part of a data set on this machine.

    id : owner/name
    path : the part in the repository, "" for all of it
    local : the folder or file in the cache
    kind : which files of the folder are meant, one of KINDS
    """

    id: str
    path: str
    local: Path
    kind: re.Pattern[str]


def fetch(address: str, offline: bool) -> Part:
    """Download what is missing of a data set, or of a part of it.

    Raises UsageError, with the remedy: no such data set, path or revision; gated; no network; not
    in the cache although `offline` is set.
    """
    match = _SHAPE.fullmatch(address)
    path = (match["path"] or "").strip("/") if match else ""
    if match is None or ".." in path.split("/"):
        raise UsageError(
            f"{address}: isn't the address of a data set; write hf://datasets/OWNER/NAME, or "
            "hf://datasets/OWNER/NAME@REVISION/PATH for a part"
        )
    repository, revision = match["id"], unquote(match["revision"] or "main")
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        kind, root = _cached(address, repository, revision, path)
    else:
        kind, root = _downloaded(address, repository, revision, path)
    return Part(repository, path, root / path, kind)


def _cached(
    address: str, repository: str, revision: str, path: str
) -> tuple[re.Pattern[str], Path]:
    from huggingface_hub import snapshot_download

    for kind in KINDS:
        try:
            root = snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                allow_patterns=_patterns(path, kind),
                local_files_only=True,  # fails if a file of this kind is missing
            )
        except Exception:
            raise UsageError(
                f"{address}: isn't on this machine, or not all of it, and offline is set; run it "
                "once with network access"
            ) from None
        local = Path(root, path)
        names = [path] if local.is_file() else [p.name for p in local.rglob("*")]
        if _kind(names) is kind:
            return kind, Path(root)
    raise UsageError(_nothing(address))


def _downloaded(
    address: str, repository: str, revision: str, path: str
) -> tuple[re.Pattern[str], Path]:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from zeroguide.models.hub import hub_output

    try:
        with hub_output():
            info = HfApi().dataset_info(repository, revision=revision)
            names = [sibling.rfilename for sibling in info.siblings or []]
            inside = [n for n in names if not path or n == path or n.startswith(f"{path}/")]
            if not inside:
                raise UsageError(f"{address}: the data set has no {path}; check the path")
            kind = _kind(inside)
            if kind is None:
                raise UsageError(_nothing(address))
            root = snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                allow_patterns=_patterns(path, kind),
            )
            return kind, Path(root)
    except UsageError:
        raise
    except GatedRepoError:
        raise UsageError(
            f"{address}: is gated; accept its licence on its page on the hub, then run "
            "`hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise UsageError(
            f"{address}: the data set has no revision {revision}; check the spelling"
        ) from None
    except RepositoryNotFoundError:
        raise UsageError(
            f"{address}: there is no public data set {repository} on the hub; check the spelling, "
            "or run `hf auth login` if it is private"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.filename:  # the disk's
            raise UsageError(
                f"{address}: can't be stored in {error.filename} ({reason(error)}); free some "
                "space, or name another folder in the variable HF_HOME"
            ) from None
        raise _unreachable(address, error) from None
    except Exception as error:  # the hub client's many ways to fail
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: Exception) -> UsageError:
    return UsageError(
        f"{address}: can't be downloaded ({reason(error)}); check the network and run it "
        "again, or use --offline for what was downloaded before"
    )


def _kind(names: list[str]) -> re.Pattern[str] | None:
    """Which of the kinds a list of files is about; metadata.parquet describes images."""
    for kind in KINDS:
        if any(kind.fullmatch(name) and not _is_metadata(name) for name in names):
            return kind
    return None


def _is_metadata(name: str) -> bool:
    return name.rpartition("/")[2] == "metadata.parquet"


def _patterns(path: str, kind: re.Pattern[str]) -> list[str]:
    """What the hub's client takes for the files of a kind, in any case, or for a single file."""
    if kind.fullmatch(path):
        return [glob.escape(path), f"{glob.escape(path)}/*"]
    top = f"{glob.escape(path)}/" if path else ""
    any_case = [
        re.sub("[a-z]", lambda m: f"[{m[0]}{m[0].upper()}]", s) for s in KINDS[kind].split()
    ]
    return [f"{top}*.{suffix}" for suffix in any_case]


def _nothing(address: str) -> str:
    return f"{address}: has no images, tar or Parquet files; name another part of the data set"
