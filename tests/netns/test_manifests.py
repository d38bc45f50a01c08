# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects from a folder: what is picked up, when, and what is kept."""
import json
import os

import pytest
import yaml

from lib import client, objects, subject as subjects, web

PORT = 8480


@pytest.fixture(scope="module")
def own(world, session_dir):
    s = subjects.NodespliceFiles(world, f"{session_dir}/manifests-test")
    world.serve(world.pod("files"), PORT, name="files")
    yield s
    s.close()


@pytest.fixture
def small(world, own, family):
    """An unapplied Service; whatever files a test made are removed."""
    before = set(os.listdir(own.manifests.dir))
    yield web.Small(world, family, [world.pod("files")], PORT)
    for name in set(os.listdir(own.manifests.dir)) - before:
        os.unlink(f"{own.manifests.dir}/{name}")
    own.barrier()


def answered(world, small):
    return client.outcome(world.node, *small.at, timeout_s=1) == "answered"


def documents(*objs):
    return yaml.safe_dump_all(objs, sort_keys=False)


@pytest.mark.parametrize("name,text", [
    ("one.yaml", documents),
    ("one.yml", documents),
    ("list.yaml", lambda *objs: yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": list(objs)})),
    ("list.json", lambda *objs: json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": list(objs)})),
    ("flow.yaml", lambda *objs: "---\n".join(
        json.dumps(o) + "\n" for o in objs)),
    ("anchors.yaml", lambda svc, sl: documents(svc) + "---\n" +
     yaml.safe_dump(sl).replace("endpoints:", "endpoints: &e", 1)),
])
def test_each_way_of_writing_them_is_read(world, own, small, name, text):
    own.manifests.write(name, text(*small.objects))
    own.barrier()
    assert answered(world, small)


def test_a_file_written_in_place_or_moved_away_is_followed(world, own, small):
    path = f"{own.manifests.dir}/moving.yaml"
    with open(path, "w", encoding="utf-8") as f:
        for obj in small.objects:
            f.write("---\n" + yaml.safe_dump(obj))
            f.flush()
    own.barrier()
    assert answered(world, small)
    os.rename(path, f"{own.dir}/elsewhere.yaml")
    own.barrier()
    assert not answered(world, small)


@pytest.mark.parametrize("name", [".hidden.yaml", "notes.txt", "x.yaml~"])
def test_other_files_are_ignored(world, own, small, name):
    own.manifests.write(name, documents(*small.objects))
    own.barrier()
    assert not answered(world, small)


def test_a_broken_file_keeps_what_it_last_gave(world, own, small):
    own.manifests.write("b.yaml", documents(*small.objects))
    own.barrier()
    own.manifests.write("b.yaml", documents(*small.objects) +
                        "---\nkind: [Service\n")
    own.daemon.process.wait_log(r"b\.yaml")
    own.barrier()
    assert answered(world, small)
    own.manifests.write("b.yaml", documents(*small.objects[1:]))
    own.barrier()
    assert not answered(world, small)


def test_an_object_in_two_files_survives_the_removal_of_one(world, own,
                                                            small):
    own.manifests.write("first.yaml", documents(*small.objects))
    own.barrier()
    own.manifests.write("second.yaml", documents(*small.objects))
    own.barrier()
    os.unlink(f"{own.manifests.dir}/first.yaml")
    own.barrier()
    assert answered(world, small)


def test_endpoints_serve_as_slices_do(world, own, small):
    endpoints = objects.endpoints_of(*small.slices)
    own.manifests.write("endpoints.yaml", documents(small.service, endpoints))
    own.barrier()
    assert answered(world, small)
    subset = endpoints["subsets"][0]
    subset["notReadyAddresses"] = subset.pop("addresses")
    own.manifests.write("endpoints.yaml", documents(small.service, endpoints))
    own.barrier()
    assert client.outcome(world.node, *small.at) == "refused"
    subset["addresses"] = subset.pop("notReadyAddresses")
    endpoints["metadata"]["labels"] = {
        "endpointslice.kubernetes.io/skip-mirror": "true"}
    own.manifests.write("endpoints.yaml", documents(small.service, endpoints))
    own.barrier()
    assert client.outcome(world.node, *small.at) == "refused"


def test_endpoints_and_slices_of_one_service_are_one_set(world, own, small,
                                                         family):
    """As if a controller had made slices of the Endpoints."""
    world.serve(world.pod("files-b"), PORT, name="files-b")
    other = web.Small(world, family, [world.pod("files-b")], PORT)
    endpoints = objects.endpoints_of(*other.slices, *small.slices)
    endpoints["metadata"]["name"] = small.name
    # A slice may have the very name of the Service.
    small.slices[0]["metadata"]["name"] = small.name
    own.manifests.write("endpoints.yaml", documents(endpoints))
    own.manifests.write("slice.yaml", documents(*small.objects))
    own.barrier()
    plan = own.daemon.explain(small.key)["services"][0]["ports"][0]
    assert len(plan["endpoints"]) == 2
    assert set(client.names(world.node, *small.at, 30)) == {"files", "files-b"}
    os.unlink(f"{own.manifests.dir}/endpoints.yaml")
    own.barrier()
    assert set(client.names(world.node, *small.at, 8)) == {"files"}
