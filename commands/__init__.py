"""What the subcommands of `motes` do, and their options."""
