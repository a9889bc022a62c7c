"""What the network's pages say of an organisation."""

from __future__ import annotations

import pytest

from almenara.admin_ui.views.network import in_common
from almenara.node import models


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        ("active", "active", True),
        ("active", "invited", True),
        ("invited", "active", True),
        ("active", "removed", False),
        ("active", "left", False),
        ("removed", "active", False),
        ("left", "active", False),
    ],
)
def test_a_circle_that_either_is_out_of_is_not_in_common(
    ours: models.CircleState, theirs: models.MemberState, shown: bool
) -> None:
    member = models.Member(node_id="n", name="gamma", state=theirs, verified=True)
    circle = models.Circle(
        circle_id="c", name="c-andes", tier="network", max_tlp="TLP:GREEN", retention_days=30, state=ours,
        members=[member],
    )  # fmt: skip
    assert in_common([circle], "n") == ([circle] if shown else [])
    assert in_common([circle], "m") == []
