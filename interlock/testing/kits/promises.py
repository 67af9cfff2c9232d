"""The sentences of the three protocols that the kits hold plug-ins to: one table each, word for word.

Promises: each sentence stands where `where` says, in these words; a test of ours compares them. A check that cannot
name a sentence is no check of the kit: what is not promised is not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

DRIVERS, COMMANDS, PLUGINS = "drivers/protocol.py", "schema/commands.py", "docs/plugins.md"
PLANNERS = "planners/protocol.py"


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence, and the file that it stands in."""

    sentence: str
    where: str

    def __str__(self) -> str:
        return f'"{self.sentence}"'


# Drivers

NEVER_RAISES = Promise(
    "A driver performs commands and answers with outcomes; it never raises for what the world did", DRIVERS
)
SAME_TOKEN = Promise(
    "the same token again, at once or years later: no further change, the same outcome if it was Done", DRIVERS
)
ALREADY_THERE = Promise("What is there already, or was never there, is Done under any token.", PLUGINS)
UNDOING = Promise(
    "a command whose effect is already there, or was never there (deletes and releases of nothing are Done)", DRIVERS
)
FENCE = Promise(
    "with a fence lower than one seen for the VM or for the subject: Refused permanent, and nothing changes", DRIVERS
)
FENCE_NOTED = Promise("The highest fence is noted whatever becomes of the command.", PLUGINS)
FENCE_IS_OWN = Promise(
    "A fence counts for the VM, if there is one, and for the subject, since disks change hands.", PLUGINS
)
LACKS = Promise(
    "The engine asks no driver for what it lacks; a command that comes all the same is Refused permanent, about the VM",
    DRIVERS,
)
CAPABILITIES = Promise("Beside its methods a driver has an attribute `capabilities`, a frozenset", PLUGINS)
UNDO_OF_LACKED = Promise("Undoing stays Done where there is nothing to undo.", DRIVERS)
TRUTH = Promise(
    "A refusal tells the truth about the world: *permanent* and *transient* promise that nothing happened", PLUGINS
)
SCOPE = Promise(
    "Its scope says what to avoid: the host (of `MigrateDomain`: the one the guest goes to), the pool, or (elsewhere "
    "it would be the same) the VM.",
    PLUGINS,
)
DONE_MEANS = Promise("It is so: now, or since an earlier performance of the same token.", COMMANDS)
AT_ONCE = Promise("Calls arrive concurrently on one event loop", DRIVERS)
CANCELLED = Promise(
    "Cancelling `perform` may leave the effect done or not done; the engine asks again by token.", DRIVERS
)
LEAVES_NONE = Promise(
    "a driver that blocks does so in threads of its own and leaves none behind after `close`", DRIVERS
)
STAYS = Promise("Let go of everything; the world stays as it is.", DRIVERS)
OUTLIVES = Promise(
    "Where the world outlives the process, so must what is needed for this: either the tokens, or an effect that can "
    "be repeated.",
    PLUGINS,
)
ATTACH = Promise(
    "Learn which hosts and pools are this driver's; called after opening and when the cloud changes.", DRIVERS
)

# Planners

PURE = Promise("Both are pure: the answer follows from the arguments", PLANNERS)
KEEPS_NOTHING = Promise("they hold no state between calls, do no I/O, and read neither clock nor chance", PLANNERS)
READING = Promise("Reading it never changes it, and never waits.", PLANNERS)
RAISES = Promise(
    "A planner that proposes a host without room 100 times in a row, or raises, makes the operation Stuck.", PLUGINS
)
ANSWERS = Promise("The best destination for the demand, or why there is none.", PLANNERS)
PLAN = Promise("A destination: the host, and a pool for each volume.", PLANNERS)
AVOIDS = Promise("Nothing disabled or in `avoid_hosts` or `avoid_pools` is chosen.", PLUGINS)
POOLS = Promise("`pools` of a `Plan` names a pool for every volume of the demand.", PLUGINS)
STAYING = Promise("A volume that has a `pool_id` lies there already: the host must reach that pool.", PLUGINS)
NOWHERE = Promise("Nowhere: every candidate with its reason.", PLANNERS)
NAMED = Promise("A `NoPlan` names every candidate, as `host h1`, with its reason", PLUGINS)
REJECTED = Promise("A candidate that was looked at and not taken.", PLANNERS)
LAST = Promise("Where it ran last: taken first, if it fits.", PLANNERS)
LIKED = Promise(
    "Preferences that are no conditions: those with higher figures first, all others count 0, below 0 last.", PLANNERS
)

# Gurus

GURU_RAISES = Promise(
    "The engine checks each answer ([engine/core/given.py](../engine/core/given.py)) and names a guru that breaks "
    "this.",
    PLUGINS,
)
GIVES = Promise("Gives a NIC its addresses.", PLANNERS)
IN_RANGE = Promise(
    "The IPv4 address lies between `first_ip` and `last_ip` of the network, the IPv6 address in its `cidr6`; neither "
    "is a gateway, and neither is taken.",
    PLUGINS,
)
EXACTLY = Promise("An `ip_address`, `ip6_address` or `mac_address` in the wish is given exactly, or refused.", PLUGINS)
MAC = Promise("The MAC follows from `seed`, which differs from NIC to NIC.", PLUGINS)
SAYS_WHY = Promise("`NoAddress` says what to do; it becomes part of the message of the refused request.", PLUGINS)
OF_POD = Promise("An address in one of the pod's ranges for a NIC that is about to be prepared there.", PLANNERS)
LATER = Promise(
    "A guru whose IPv4 addresses come with the pod answers `allocate` without one, and has a second method, "
    "`reserve(network, ranges, wished_ip, taken)`, which is asked when the host was chosen",
    PLUGINS,
)
