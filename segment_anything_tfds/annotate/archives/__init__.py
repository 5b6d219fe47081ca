"""Pictures in, archives in the format of SA-1B out: on one machine, or on a fleet by Beam."""
