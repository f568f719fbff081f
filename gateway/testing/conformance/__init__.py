"""Conformance: the rules of the quality scale that a program can judge, run for any adapter, ours and third parties'.

An adapter's folder says in ``conformance.py`` what the suite cannot know (`Subject`), its ``quality.yaml`` what it
claims. ``xingsha conformance FOLDER`` then runs every rule: those about the folder by reading it, the others by putting
the adapter between its own simulator and the gateway's own collector, with a chaos link between them (`rig`).
"""

from gateway.testing.conformance.subject import Receiver, Subject, Vector

__all__ = ["Receiver", "Subject", "Vector"]
