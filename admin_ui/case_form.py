"""The case form as a table: every field of SCHEMAS §2, grouped as a case worker thinks, the main ones first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from almenara.node.cases.case import is_local
from almenara.node.words import N_

Kind = Literal[
    "text",
    "area",
    "code",
    "codes",
    "threats",
    "country",
    "date",
    "number",
    "flag",
    "lines",
    "when",
    "audience",
    "region",
]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One control. `path` is the field's name in the case, dots between its parts."""

    path: str
    label: str
    kind: Kind = "text"
    codes: str = ""  # the vocabulary's list
    default: str = ""  # what an absent field means
    help: str = ""
    required: bool = False
    width: Literal["whole", "half", "pair"] = "whole"  # half on a wide screen; pair also on a telephone
    limit: int = 0  # in bytes, as the case counts; 0 where the control itself limits

    @property
    def stays(self) -> bool:
        """Whether the field never leaves the node."""
        return is_local(self.path)


@dataclass(frozen=True, kw_only=True)
class Items:
    """A part that may occur several times: persons, evidence."""

    path: str
    label: str
    one: str
    add: str
    fields: tuple[Field, ...]

    @property
    def stays(self) -> bool:
        """Whether the part never leaves the node."""
        return all(is_local(f"{self.path}.0.{field.path}") for field in self.fields)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields that belong together; a folded group is one that many cases do without."""

    name: str
    title: str
    help: str = ""
    fields: tuple[Field | Items, ...]
    folded: bool = False


GROUPS = (
    Group(
        name="what",
        title=N_("What is happening"),
        fields=(
            Field(
                path="title",
                label=N_("Title"),
                help=N_("For your own office. It never leaves."),
                required=True,
                limit=200,
            ),
            Field(
                path="narrative",
                label=N_("The story in your own words"),
                kind="area",
                help=N_("Write freely, with names. It never leaves this node."),
                limit=20_000,
            ),
            Field(
                path="threats",
                label=N_("Main threat"),
                kind="threats",
                codes="threat",
                required=True,
            ),
            Field(path="phase", width="half", label=N_("Has it happened?"), kind="code", codes="phase", required=True),
            Field(
                path="severity",
                width="half",
                label=N_("How severe?"),
                kind="code",
                codes="severity",
                required=True,
                help=N_("Harm to life, liberty, integrity, or the ability to go on working."),
            ),
            Field(
                path="urgency",
                width="half",
                label=N_("How urgent?"),
                kind="code",
                codes="urgency",
                required=True,
                help=N_("Immediate: act within a day. Expected: within a week. Future: within three months."),
            ),
            Field(
                path="certainty", width="half", label=N_("How certain?"), kind="code", codes="certainty", required=True
            ),
        ),
    ),
    Group(
        name="whom",
        title=N_("Who is at risk"),
        help=N_("Only these codes can leave, never a name."),
        fields=(
            Field(
                path="target_unit",
                width="half",
                label=N_("Who is the target?"),
                kind="code",
                codes="target_unit",
                required=True,
            ),
            Field(path="role", width="half", label=N_("Role"), kind="code", codes="role", default="withheld"),
            Field(
                path="issue",
                width="half",
                label=N_("Issue they work on"),
                kind="code",
                codes="issue",
                default="withheld",
            ),
            Field(
                path="network_shows",
                width="half",
                label=N_("Beyond partners, show only"),
                kind="code",
                codes="network_shows",
                default="issue",
                help=N_("Role and issue together can point to one person. The network sees one of them."),
            ),
            Field(path="situation", width="half", label=N_("Where they are now"), kind="code", codes="situation"),
            Items(
                path="persons",
                label=N_("People in this case"),
                one=N_("Person"),
                add=N_("Add a person"),
                fields=(
                    Field(path="name", label=N_("Name"), limit=200),
                    Field(path="relation", label=N_("Part in the case"), kind="code", codes="relation"),
                    Field(path="phone", label=N_("Telephone"), limit=200),
                    Field(path="email", label=N_("E-mail"), limit=200),
                    Field(path="aliases", label=N_("Other names"), kind="lines", help=N_("One on each line.")),
                    Field(path="handles", label=N_("Accounts on networks"), kind="lines", help=N_("One on each line.")),
                    Field(path="address", label=N_("Address"), limit=500),
                    Field(path="birth_date", label=N_("Date of birth"), limit=200),
                    Field(
                        path="document_ids",
                        label=N_("Numbers of identity documents"),
                        kind="lines",
                        help=N_("One on each line."),
                    ),
                    Field(
                        path="identity_factors",
                        label=N_("What puts this person at particular risk"),
                        kind="codes",
                        codes="identity_factor",
                    ),
                ),
            ),
        ),
    ),
    Group(
        name="where",
        title=N_("Where and when"),
        help=N_("Others see a coarser place and time than you write here. The preview shows which."),
        fields=(
            Field(path="place.country", width="half", label=N_("Country"), kind="country", required=True),
            Field(
                path="place.admin1",
                width="half",
                label=N_("Region"),
                kind="region",
                help=N_("Department, province or county: its name, or its ISO code."),
            ),
            Field(path="place.locality", label=N_("Town or village"), limit=200),
            Field(
                path="place.lat",
                width="pair",
                label=N_("Latitude"),
                kind="number",
                help=N_("In degrees, such as 2.4419."),
            ),
            Field(
                path="place.lon",
                width="pair",
                label=N_("Longitude"),
                kind="number",
                help=N_("In degrees, such as -76.6063."),
            ),
            Field(path="occurred_at", label=N_("When"), kind="when"),
        ),
    ),
    Group(
        name="consent",
        title=N_("Consent"),
        help=N_("Without a recorded consent nothing of this case leaves the node."),
        fields=(
            Field(
                path="consent.state",
                width="half",
                label=N_("How far may it be shared?"),
                kind="code",
                codes="consent_state",
                required=True,
            ),
            Field(path="consent.basis", width="half", label=N_("Who consented?"), kind="code", codes="consent_basis"),
            Field(path="consent.recorded_on", width="pair", label=N_("Recorded on"), kind="date"),
            Field(path="consent.valid_until", width="pair", label=N_("Valid until"), kind="date"),
            Field(
                path="consent.informed",
                label=N_("What they were told"),
                kind="area",
                limit=500,
            ),
            Field(
                path="consent.audience",
                label=N_("Shared only with"),
                kind="audience",
                help=N_("Needed when the consent names organisations or circles."),
            ),
        ),
    ),
    Group(
        name="help",
        title=N_("What is needed, and what others may do"),
        folded=True,
        fields=(
            Field(
                path="requests", label=N_("Help requested"), kind="codes", codes="response", help=N_("At most eight.")
            ),
            Field(
                path="offers",
                label=N_("Help offered by you"),
                kind="codes",
                codes="response",
                help=N_("At most eight."),
            ),
            Field(
                path="permitted_actions",
                width="half",
                label=N_("What may readers do?"),
                kind="code",
                codes="permitted_actions",
                default="contact-for-instruction",
            ),
            Field(
                path="tlp",
                width="half",
                label=N_("Traffic light"),
                kind="code",
                codes="tlp",
                default="TLP:AMBER+STRICT",
            ),
        ),
    ),
    Group(
        name="who",
        title=N_("Who is behind it, and how sure you are"),
        folded=True,
        fields=(
            Field(
                path="perpetrator",
                width="half",
                label=N_("Kind of perpetrator"),
                kind="code",
                codes="perpetrator",
                default="unknown",
            ),
            Field(
                path="perpetrator_detail",
                label=N_("What you know about them"),
                kind="area",
                limit=2_000,
            ),
            Field(
                path="verification",
                width="half",
                label=N_("How well is it verified?"),
                kind="code",
                codes="verification",
                default="unverified",
            ),
            Field(
                path="reprisal",
                width="half",
                label=N_("Reprisal for working with"),
                kind="code",
                codes="reprisal",
                default="none",
            ),
            Field(path="gendered_dimension", label=N_("There is a gendered side to it"), kind="flag"),
            Field(
                path="transnational.origin", width="half", label=N_("Across borders: State behind it"), kind="country"
            ),
            Field(
                path="transnational.host",
                width="half",
                label=N_("Across borders: country it reaches into"),
                kind="country",
            ),
        ),
    ),
    Group(
        name="record",
        title=N_("Your file"),
        folded=True,
        fields=(
            Field(path="case_number", width="half", label=N_("Your case number"), limit=100),
            Field(path="organisations", label=N_("Organisations"), kind="lines", help=N_("One on each line.")),
            Field(
                path="identifiers",
                label=N_("Number plates, accounts, other numbers"),
                kind="lines",
                help=N_("One on each line."),
            ),
            Field(path="source.name", width="half", label=N_("Source"), limit=200),
            Field(path="source.contact", width="half", label=N_("How to reach the source"), limit=200),
            Field(
                path="source.reliability",
                width="half",
                label=N_("How reliable is the source?"),
                kind="code",
                codes="source_reliability",
            ),
            Field(
                path="source.credibility",
                width="half",
                label=N_("How credible is the information?"),
                kind="code",
                codes="information_credibility",
            ),
            Items(
                path="evidence",
                label=N_("Evidence"),
                one=N_("Piece of evidence"),
                add=N_("Add a piece of evidence"),
                fields=(
                    Field(path="label", label=N_("What it is"), limit=200),
                    Field(path="where", label=N_("Where it lies"), limit=500),
                    Field(path="sha256", label=N_("SHA-256 digest"), limit=64),
                ),
            ),
        ),
    ),
    Group(
        name="more",
        title=N_("For your own statistics"),
        folded=True,
        fields=(
            Field(path="channel", width="half", label=N_("Channel"), kind="code", codes="channel"),
            Field(path="mode", width="half", label=N_("Act or omission"), kind="code", codes="mode"),
            Field(path="legal_pretext", width="half", label=N_("Legal pretext"), kind="code", codes="legal_pretext"),
            Field(path="context", label=N_("Context"), kind="codes", codes="context"),
            Field(
                path="affected_circle",
                label=N_("Others affected around the person"),
                kind="codes",
                codes="affected_circle",
            ),
        ),
    ),
)

FIELDS: dict[str, Field] = {
    field.path: field for group in GROUPS for field in group.fields if isinstance(field, Field)
} | {
    f"{items.path}.{field.path}": field
    for group in GROUPS
    for items in group.fields
    if isinstance(items, Items)
    for field in items.fields
}
