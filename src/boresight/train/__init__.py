"""The training heart: the plan of a step, packed attention, the weighted loss, the loop."""
