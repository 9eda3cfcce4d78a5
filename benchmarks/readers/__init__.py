"""What runs in the measured processes: `own` with wbframe, `sdk` in an environment of a wandb SDK."""
