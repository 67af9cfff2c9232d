"""What would have happened otherwise: a recorded history under another planner, guru or setting.

    script      what was asked when, by whom, and how the world answered: read from a journal
    world       answers what the core asks of hosts and pools, as recorded where that applies
    simulation  the core again, on a cloud in memory, with a clock that only events move
    outcome     what came of a history: who stood where, what failed, how full hosts were
    compare     two of these beside each other

The model, and its limits. The same people ask for the same things at the same moments. Everything that follows is
decided anew by today's core. Hosts and pools answer as they did: to the same command of the same operation at the same
place, what was recorded; a place that refused a kind of command is taken to refuse it, to whoever asks, until it was
next recorded to take one; a refusal that was about the VM follows it wherever it goes; everything else is Done. It
takes as long as it took, or as long as that step usually took. What was asked for and refused at once is in no journal,
so it is not asked again; what hosts reported by themselves (a guest that died, a host that was lost) is left out, and
so is what engines did about that.
"""
