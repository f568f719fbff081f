"""Every adapter of the house by the suite: nothing that its quality.yaml calls done is short."""

import pytest

from gateway.sdk.manifest import manifests
from gateway.testing.conformance.result import Verdict
from gateway.testing.conformance.run import run


@pytest.mark.parametrize("adapter", sorted(manifests()))
def test_it_is_what_it_claims(adapter):
    results = list(run(manifests()[adapter], fast=True))
    assert [f"{result.rule}: {result.seen}" for result in results if result.verdict is Verdict.FAILED] == []
    assert len(results) > 20
