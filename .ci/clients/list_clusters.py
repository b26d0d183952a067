"""Walks all pages with a client generated from the OpenAPI 3.0.3 document: python list_clusters.py http://127.0.0.1:8650"""

import sys

from generated import AuthenticatedClient
from generated.api.clusters import list_clusters
from generated.models import ClusterItem, ClusterList, Problem, ProblemCode, State
from generated.types import UNSET, Unset


def main(base_url: str) -> None:
    clusters: dict[str, ClusterItem] = {}
    total: int | None = None
    pages = 0
    # Nothing controls access to the demo, so any token will do.
    with AuthenticatedClient(base_url=base_url, token="demo") as client:
        cursor: str | Unset = UNSET
        while True:
            page = list_clusters.sync(client=client, limit=30, cursor=cursor)
            assert isinstance(page, ClusterList), page
            assert page.complete, page.unreachable
            for cluster in page.items:
                assert cluster.id not in clusters, f"{cluster.id} came twice"
                clusters[cluster.id] = cluster
            total = page.total or None
            pages += 1
            if not page.next_cursor:
                break
            cursor = page.next_cursor

        refused = list_clusters.sync(client=client, cursor="no cursor")
        assert isinstance(refused, Problem), refused
        assert refused.code == ProblemCode.INVALID_CURSOR, refused

    assert clusters and len(clusters) == total, f"{len(clusters)} clusters were listed, {total} were announced"
    running = sum(1 for cluster in clusters.values() if cluster.status and cluster.status.state == State.RUNNING)
    assert running, "no cluster has the state running"
    print(f"Python, OpenAPI 3.0.3: {len(clusters)} clusters on {pages} pages, {running} running")


if __name__ == "__main__":
    main(sys.argv[1])
