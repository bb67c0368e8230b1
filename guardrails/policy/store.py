"""The policies in force: read at start-up, read again when a file changes, the last good kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.layers import Shelf

from .compiling import compile_policy
from .reading import PolicyError, policy_files, read_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.window.lanes import Detector

    from .compiled import CompiledPolicy
    from .document import PolicyDocument

__all__ = ["PolicyStore", "Reload"]

_PACKAGED: Final = Path(__file__).parent.parent / "policies"

# What tells one state of a folder from another: path, modification time, size.
_Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """A change of the files: the digests now in force by name, and a refusal if nothing changed."""

    digests: Mapping[str, str]
    refusal: PolicyError | None


class PolicyStore:
    """Policies by name: those that come with the package, and over them those of a folder."""

    def __init__(
        self, *, folder: Path | None, default_name: str, detectors: Mapping[str, Detector]
    ) -> None:
        """Read every policy.

        Raises:
            PolicyError: with every mistake in every file.
        """
        self.default_name = default_name
        self._folder = folder
        self._detectors = dict(detectors)
        self.shelf = Shelf()
        self._fingerprint = self._look()
        self._adopt(self._load())

    def get(self, name: str) -> CompiledPolicy | None:
        """The policy of this name, the default for an empty one; None if there is none."""
        return self._policies.get(name or self.default_name)

    @property
    def default(self) -> CompiledPolicy:
        """The policy of requests that name none."""
        return self._policies[self.default_name]

    def shadows_of(self, name: str) -> list[CompiledPolicy]:
        """The candidates beside the policy of this name."""
        return self._shadows.get(name, [])

    def all(self) -> list[CompiledPolicy]:
        """Every policy, the default first."""
        return sorted(
            self._policies.values(),
            key=lambda policy: (policy.name != self.default_name, policy.name),
        )

    def refresh(self) -> Reload | None:
        """Read again if a file changed since the last look; None if none did.

        A folder with any mistake changes nothing: what is in force stays in force.
        """
        fingerprint = self._look()
        if fingerprint == self._fingerprint:
            return None
        self._fingerprint = fingerprint
        refusal, policies = None, self._policies
        try:
            policies = self._load()
        except PolicyError as error:
            refusal = error
        self._adopt(policies)
        digests = {name: policy.digest for name, policy in self._policies.items()}
        return Reload(digests=digests, refusal=refusal)

    def _adopt(self, policies: dict[str, CompiledPolicy]) -> None:
        self._policies = policies
        self.shelf.keep([judge for policy in policies.values() for judge in policy.judges.values()])
        self._shadows: dict[str, list[CompiledPolicy]] = {}
        for _, policy in sorted(policies.items()):
            self._shadows.setdefault(policy.shadow_of, []).append(policy)
        self._shadows.pop("", None)

    def _load(self) -> dict[str, CompiledPolicy]:
        documents = read_folder(_PACKAGED)
        if self._folder is not None:
            documents |= read_folder(self._folder)
        policies = self._compile(documents)
        if self.default_name not in policies:
            known = ", ".join(sorted(policies))
            raise PolicyError([f"no default policy {self.default_name!r}; there are {known}"])
        return policies

    def _compile(self, documents: Mapping[str, PolicyDocument]) -> dict[str, CompiledPolicy]:
        policies: dict[str, CompiledPolicy] = {}
        mistakes: list[str] = []
        for name, document in documents.items():
            policy, wrong = compile_policy(name, document, self._detectors, self.shelf)
            mistakes += [f"{name}.yaml: {mistake}" for mistake in wrong]
            if document.shadow_of == name or document.shadow_of not in (None, *documents):
                others = ", ".join(sorted(documents.keys() - {name}))
                mistakes.append(f"{name}.yaml: shadow_of: must name another policy: {others}")
            if policy is not None:
                policies[name] = policy
        if mistakes:
            raise PolicyError(mistakes)
        return policies

    def _look(self) -> _Fingerprint:
        if self._folder is None:
            return ()
        try:
            return tuple(
                (str(path), status.st_mtime_ns, status.st_size)
                for path in policy_files(self._folder)
                for status in (path.stat(),)
            )
        except (OSError, PolicyError):
            return (("unreadable", 0, 0),)
