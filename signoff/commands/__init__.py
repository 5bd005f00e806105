"""The commands of `signoff`, one module each: it adds itself to the command line, and does what that asks."""
