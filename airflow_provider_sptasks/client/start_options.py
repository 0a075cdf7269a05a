"""What each kind of aggregation is started with."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_sptasks.client.kinds import STARTABLE_KINDS, TaskKind

# Which kinds take an option.
_TAKE_FILE = (TaskKind.ACCOUNTS, TaskKind.ENTITLEMENTS, TaskKind.UNCORRELATED_ACCOUNTS)
_TAKE_DISABLE_OPTIMIZATION = (TaskKind.ACCOUNTS, TaskKind.AI_AGENTS)
_TAKE_DATASET_IDS = (TaskKind.AI_AGENTS, TaskKind.DATASETS)
# What ``aggregate-agents`` starts has either name in SailPoint's documentation.
_AGENTS = frozenset({TaskKind.AI_AGENTS, TaskKind.MACHINE_IDENTITIES})


@dataclass(frozen=True)
class StartOptions:
    """
    Options to start an aggregation with.

    :param file: path of a CSV file
    :param disable_optimization: whether what has not changed is processed as well
    :param object_type: the entitlement schema that the file is for
    :param dataset_ids: the datasets to aggregate
    """

    file: str | None = None
    disable_optimization: bool = False
    object_type: str | None = None
    dataset_ids: tuple[str, ...] = ()

    def check(self, kind: TaskKind) -> None:
        """
        Refuse options that a kind of aggregation doesn't take, and missing ones that it needs.

        :param kind: the kind
        :raises ValueError: there is no such start
        """
        check_start(
            kind,
            file=self.file is not None,
            disable_optimization=self.disable_optimization,
            object_type=self.object_type is not None,
            dataset_ids=bool(self.dataset_ids),
        )
        if kind is TaskKind.DATASETS and len(self.dataset_ids) > 1:
            raise ValueError(
                f"dataset_ids has {len(self.dataset_ids)} ids, and {kind} are aggregated one by one."
            )


def check_start(
    kind: TaskKind,
    *,
    file: bool,
    disable_optimization: bool,
    object_type: bool,
    dataset_ids: bool,
) -> None:
    """
    Refuse options that a kind of aggregation doesn't take, and missing ones that it needs.

    :param kind: the kind
    :param file: whether a CSV file is given
    :param disable_optimization: whether that is wanted
    :param object_type: whether an entitlement schema is given
    :param dataset_ids: whether datasets are given
    :raises ValueError: there is no such start
    """
    if kind not in STARTABLE_KINDS:
        raise ValueError(f"kind {str(kind)!r} can't be started. Use {', '.join(map(str, STARTABLE_KINDS))}.")
    for name, given, takers in (
        ("file", file, _TAKE_FILE),
        ("disable_optimization", disable_optimization, _TAKE_DISABLE_OPTIMIZATION),
        ("object_type", object_type, (TaskKind.ENTITLEMENTS,)),
        ("dataset_ids", dataset_ids, _TAKE_DATASET_IDS),
    ):
        if given and kind not in takers:
            raise ValueError(f"{name} is for {' and '.join(takers)}, not for {kind}.")
    if not file and kind is TaskKind.UNCORRELATED_ACCOUNTS:
        raise ValueError(f"file is missing: {kind} come from a CSV file.")
    if not file and object_type:
        raise ValueError("object_type is for a CSV file of entitlements: give file as well.")
    if not dataset_ids and kind in _TAKE_DATASET_IDS:
        raise ValueError(f"dataset_ids is missing: {kind} come from datasets.")


def alike(kind: TaskKind) -> frozenset[TaskKind]:
    """
    Return the kinds by which SailPoint may name what was started as one kind.

    :param kind: what was started
    """
    return _AGENTS if kind is TaskKind.AI_AGENTS else frozenset({kind})
