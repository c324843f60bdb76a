"""What the people of the demo are called and say. Data only: `demo.py` plays it."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A message. Its place in the talk gives it the id by which it is never sent twice."""

    who: str
    text: str
    answers: int | None = None  # the index of the line that it quotes; None when it quotes none
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)  # who reacted, by emoji
    becomes: str | None = None  # the text after an edit; None when it was not edited
    pinned_by: str | None = None  # None when it is not pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A conversation, made by the first of its people."""

    key: str
    people: tuple[str, ...]
    lines: tuple[Line, ...]
    kind: Literal["DIRECT", "GROUP", "CHANNEL"] = "GROUP"
    title: str | None = None  # None for a direct one
    unread_by: tuple[str, ...] = ()  # who has not opened it yet


PEOPLE = {
    "maya": "Maya Lindqvist",
    "jonas": "Jonas Keller",
    "amara": "Amara Okafor",
    "tomas": "Tomás Herrera",
    "priya": "Priya Raman",
    "felix": "Felix Brandt",
    "yuki": "Yuki Tanabe",
    "elif": "Elif Demir",
    "noah": "Noah Fischer",
    "ines": "Inês Carvalho",
    "oleg": "Oleg Marchenko",
    "ruth": "Ruth Abramson",
}

TALKS = (
    Talk(
        key="trip",
        title="Mountain weekend 🏔️",
        people=("maya", "jonas", "amara", "tomas", "yuki"),
        unread_by=("tomas",),
        lines=(
            Line(who="maya", text="The hut has confirmed! Five beds, Friday to Sunday.", pinned_by="maya"),
            Line(who="jonas", text="Best news of the week. I'll bring the big coffee pot."),
            Line(
                who="amara",
                text="And I'll bring the good coffee, so that the pot has a purpose.",
                answers=1,
                reactions={"😂": ("maya", "jonas", "yuki"), "❤️": ("tomas",)},
            ),
            Line(who="tomas", text="Do we meet at the station or at the trailhead?"),
            Line(
                who="maya",
                text="Station, 15:40, platform 7. The bus goes at four.",
                answers=3,
                becomes="Station, 15:30, platform 7. The bus leaves ten minutes earlier than I thought.",
                reactions={"👍": ("jonas", "amara", "tomas")},
            ),
            Line(who="yuki", text="The forecast says clear from Saturday noon. We might see the whole range!"),
            Line(who="jonas", text="Then let's do the ridge on Saturday and be lazy on Sunday."),
            Line(who="amara", text="You had me at lazy.", answers=6, reactions={"😂": ("jonas",), "🎉": ("maya",)}),
            Line(who="maya", text="Packing list: warm layer, head lamp, cards. Anything I forgot?"),
            Line(who="yuki", text="Chocolate. You forgot chocolate.", reactions={"👍": ("maya", "amara", "tomas")}),
        ),
    ),
    Talk(
        key="release",
        title="Release 2.4",
        people=("priya", "felix", "maya", "noah", "oleg"),
        unread_by=("maya",),
        lines=(
            Line(who="priya", text="Good morning! Where are we with 2.4?"),
            Line(who="felix", text="The import is done and reviewed. I'm running it on last month's data as we speak."),
            Line(who="noah", text="Accessibility pass is through as well. Two small contrast fixes, both merged."),
            Line(who="priya", text="Wonderful. Any worries?"),
            Line(
                who="oleg",
                text="One: the migration takes eleven minutes on the copy. I'd like it under five.",
                answers=3,
                reactions={"👍": ("priya",)},
            ),
            Line(who="felix", text="We could build the index afterwards, in the background."),
            Line(
                who="oleg",
                text="Tried it just now: three minutes forty. I'm happy.",
                answers=5,
                reactions={"🎉": ("priya", "felix", "noah", "maya")},
            ),
            Line(who="priya", text="Then Thursday, ten o'clock. Cake included.", pinned_by="priya"),
            Line(who="maya", text="I'm in charge of the cake. Lemon?"),
            Line(who="noah", text="Lemon!", answers=8, reactions={"❤️": ("maya",)}),
            Line(who="felix", text="The dry run has finished: no difference in 1.2 million rows."),
        ),
    ),
    Talk(
        key="books",
        title="Book club",
        people=("ruth", "amara", "ines", "elif", "maya"),
        lines=(
            Line(who="ruth", text="Has everybody reached chapter nine? I won't say a word until you have."),
            Line(who="ines", text="Chapter nine! I missed my stop because of it."),
            Line(who="elif", text="Two more evenings for me, please. No spoilers."),
            Line(who="ruth", text="Our lips are sealed.", answers=2, reactions={"❤️": ("elif",), "😂": ("ines",)}),
            Line(who="amara", text="Shall we meet at my place this time? I've finally bought enough chairs."),
            Line(
                who="maya",
                text="Tuesday would be perfect.",
                answers=4,
                reactions={"👍": ("ruth", "amara", "ines", "elif")},
            ),
            Line(who="amara", text="Tuesday at seven, then. I'll make the lentil soup."),
        ),
    ),
    Talk(
        key="news",
        kind="CHANNEL",
        title="House news",
        people=("elif", "maya", "jonas", "amara", "tomas", "priya", "felix", "yuki", "noah", "ines", "oleg", "ruth"),
        unread_by=("maya", "felix"),
        lines=(
            Line(
                who="elif",
                text="Welcome to the house! This channel has only what everybody should know.",
                pinned_by="elif",
            ),
            Line(who="elif", text="The lift is serviced on Wednesday between nine and noon."),
            Line(
                who="elif",
                text="The courtyard party is on the 14th. Bring something to share, and a chair.",
                reactions={"🎉": ("maya", "jonas", "yuki", "ines"), "❤️": ("ruth", "amara")},
            ),
        ),
    ),
    Talk(
        key="maya-jonas",
        kind="DIRECT",
        people=("maya", "jonas"),
        lines=(
            Line(who="jonas", text="Did you see the sunset just now?"),
            Line(who="maya", text="From the tram! Everybody had their phones against the window."),
            Line(who="jonas", text="I stood on the roof like a tourist.", reactions={"😂": ("maya",)}),
            Line(who="maya", text="Worth it. Dinner on Thursday?"),
            Line(who="jonas", text="Yes. That noodle place, or something new?"),
            Line(
                who="maya",
                text="Noodles. After this week I need no surprises.",
                answers=4,
                reactions={"👍": ("jonas",)},
            ),
        ),
    ),
    Talk(
        key="maya-ruth",
        kind="DIRECT",
        people=("maya", "ruth"),
        unread_by=("maya",),
        lines=(
            Line(who="maya", text="Thank you for lending me the letters. I read them in one go."),
            Line(who="ruth", text="I hoped you would. The one about the piano?"),
            Line(who="maya", text="I cried on the bus.", answers=1, reactions={"❤️": ("ruth",)}),
            Line(who="ruth", text="Then it has done its work. Keep them as long as you like."),
            Line(who="ruth", text="And come for tea on Sunday, if you have the time."),
        ),
    ),
    Talk(
        key="priya-felix",
        kind="DIRECT",
        people=("priya", "felix"),
        lines=(
            Line(who="felix", text="May I move our talk to the afternoon? The school called, nothing bad."),
            Line(who="priya", text="Of course. Go! Three o'clock, or tomorrow."),
            Line(who="felix", text="Three is good. Thank you.", reactions={"🙏": ("priya",)}),
        ),
    ),
)

# What the people of the demo go on saying, in any of their conversations.
SMALL_TALK = (
    "Just got in. What did I miss?",
    "That's a good point.",
    "Give me five minutes, I'll have a look.",
    "Ha, exactly what I was thinking.",
    "Does tomorrow work for everybody?",
    "I'm making tea, anybody else?",
    "Done! That was easier than I feared.",
    "Sorry, I was on the phone. Yes, let's do it.",
    "The rain has stopped here, finally.",
    "Found the photos from last summer, I'll bring them.",
    "Sounds lovely.",
    "I'd rather sleep on it and tell you in the morning.",
    "Who has the key?",
    "Thank you, all of you.",
    "On my way.",
    "No hurry at all.",
)
EMOJI = ("👍", "❤️", "😂", "🎉", "😮", "🙏")
