"""The client's side: a small HTTP client of the API, and what a holder of a capability does without it."""

from ronkms.client.attenuation import attenuate

__all__ = ["attenuate"]
