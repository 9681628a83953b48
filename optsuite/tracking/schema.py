"""The names of tags that say what became of a run, as the store and whoever reads it know them."""

SUPERSEDED = "optsuite.superseded"  # the tag of runs that an older definition gave, or that proved to be
REFUTED = "refuted"  # its value where runs have not repeated, or have parted from the plain loop: never used again
REUSE = "optsuite.reuse"  # the tag of studies whose reused results are not bit for bit those of this machine, and
REUSED_ON = "optsuite.reused_on"  # of the class of machine on which that was found
COMPARED = "optsuite.compared"  # the tag of stacked studies of which a run was compared with a plain one
TRIED = "optsuite.tried"  # the tag of studies: the lowest and the highest rate that it was planned for, with a space between
PROPOSED = "optsuite.proposed"  # the tag of studies: what their search has proposed, as `tuning.Proposals` writes it
REFUSAL = "optsuite.refusal"  # the tag of stacked studies that parted from plain ones: why
SCHEMA = "optsuite.schema"  # the tag of runs that are sealed: how they are written
SEAL = "optsuite.seal"  # the tag that tells whether anything of a run has been edited since
CAMPAIGN = "optsuite.campaign"  # the tag of runs: the campaign that they belong to, and
GIVEN_UP = "optsuite.given_up"  # what it becomes when that is deleted, until the rows are gone
