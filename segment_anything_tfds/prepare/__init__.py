"""The Beam transform that turns each archive into one TFDS shard."""
