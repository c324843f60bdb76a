"""Which subscribers may share one execution: decided from the document alone."""

from dataclasses import dataclass
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    visit,
)

# By the contract, these and every field that begins with `viewer` depend on who asks; nothing else does.
_BY_HISTORY = frozenset({"messages", "lastMessage", "pinnedMessages"})
# Their values move without an entry in the log.
_BY_RECEIPTS = frozenset({"status", "receipts", "deliveredSequence", "readSequence"})


def depends_on_viewer(field: str) -> bool:
    """Whether a field's value depends on who asks."""
    return field.startswith("viewer") or field in _BY_HISTORY


@dataclass(frozen=True, slots=True)
class Sharing:
    """What an execution of a subscription's document depends on."""

    viewer: bool  # whether it selects what depends on who asks
    receipts: bool  # whether it selects what depends on receipts
    variables: frozenset[str]  # names of the variables that more than the root field's arguments use

    def key(self, query: str, name: str | None, variables: dict[str, Any] | None, viewer_id: str) -> tuple[object, ...]:
        """Return what is equal for all subscribers who may share."""
        used = {key: value for key, value in (variables or {}).items() if key in self.variables}
        return (query, name, orjson.dumps(used, option=orjson.OPT_SORT_KEYS), viewer_id if self.viewer else None)


def sharing(document: DocumentNode, definition: OperationDefinitionNode) -> Sharing:
    """Return what the executions of a subscription depend on."""
    found = _Uses()
    for node in document.definitions:
        if node is not definition:
            visit(node, found)
    for root in definition.selection_set.selections:
        for directive in root.directives or ():
            visit(directive, found)
        selections = getattr(root, "selection_set", None)
        if isinstance(selections, SelectionSetNode):
            visit(selections, found)
    return Sharing(viewer=found.viewer, receipts=found.receipts, variables=frozenset(found.variables))


class _Uses(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.viewer = False
        self.receipts = False
        self.variables: set[str] = set()

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.viewer = self.viewer or depends_on_viewer(node.name.value)
        self.receipts = self.receipts or node.name.value in _BY_RECEIPTS

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.variables.add(node.name.value)
