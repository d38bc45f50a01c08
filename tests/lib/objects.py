# SPDX-License-Identifier: GPL-2.0-or-later
"""Kubernetes objects as plain dictionaries, and the requests for them."""
import copy

ANNOTATION_PREFIX = "nodesplice.io/"


def service(name, family, cluster_ip, ports, *, namespace="default",
            kind="ClusterIP", annotations=None, external_ips=(), ingress=(),
            source_ranges=(), **spec):
    """A Service without selector.

    ports: dictionaries as in the API, or (name, port, proto[, nodePort]).
    annotations: without the nodesplice.io/ in front.
    ingress: addresses, or dictionaries as in the API.
    """
    s = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name, "namespace": namespace,
            "annotations": {ANNOTATION_PREFIX + k: v
                            for k, v in (annotations or {}).items()},
        },
        "spec": {
            "type": kind,
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "ipFamilies": [f"IPv{family}"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [_service_port(p) for p in ports],
            **spec,
        },
    }
    if kind == "LoadBalancer":
        s["spec"].setdefault("allocateLoadBalancerNodePorts", False)
    if external_ips:
        s["spec"]["externalIPs"] = list(external_ips)
    if source_ranges:
        s["spec"]["loadBalancerSourceRanges"] = list(source_ranges)
    if ingress:
        s["status"] = {"loadBalancer": {"ingress": [
            i if isinstance(i, dict) else {"ip": i} for i in ingress]}}
    return s


def _service_port(p):
    if isinstance(p, dict):
        return p
    name, port, proto, *node_port = p
    port = {"name": name, "port": port, "protocol": proto,
            "targetPort": port}
    if node_port:
        port["nodePort"] = node_port[0]
    return port


def slice_of(svc, endpoints, ports, suffix="1"):
    """An EndpointSlice of a Service.

    endpoints: Host objects of world.py, (Host, conditions) or dictionaries.
    ports: (name, port, proto).
    """
    family = int(svc["spec"]["ipFamilies"][0][-1])
    meta = svc["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{meta['name']}-{suffix}",
            "namespace": meta["namespace"],
            "labels": {"kubernetes.io/service-name": meta["name"]},
        },
        "addressType": f"IPv{family}",
        "endpoints": [_endpoint(e, family) for e in endpoints],
        "ports": [{"name": n, "port": port, "protocol": proto}
                  for n, port, proto in ports],
    }


def service_of(a_slice):
    """(namespace, name) of the Service that a slice belongs to."""
    meta = a_slice["metadata"]
    return meta["namespace"], meta["labels"]["kubernetes.io/service-name"]


def endpoints_of(*slices):
    """The Endpoints that say the same as slices of one Service."""
    meta = slices[0]["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": meta["labels"]["kubernetes.io/service-name"],
            "namespace": meta["namespace"],
        },
        "subsets": [_subset(s) for s in slices if s["endpoints"]],
    }


def _subset(a_slice):
    """Ready is the only condition that they know."""
    def addresses(ready):
        return [{"ip": e["addresses"][0],
                 **{k: e[k] for k in ("nodeName",) if k in e}}
                for e in a_slice["endpoints"]
                if e["conditions"].get("ready", True) is ready]
    return {"addresses": addresses(True),
            "notReadyAddresses": addresses(False),
            "ports": a_slice["ports"]}


def _endpoint(e, family):
    if isinstance(e, dict):
        return e
    host, conditions = e if isinstance(e, tuple) else (e, {"ready": True})
    endpoint = {"addresses": [host.addr(family)], "conditions": conditions}
    if host.node_name:
        endpoint["nodeName"] = host.node_name
    return endpoint


def node(host, pod_cidrs):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": host.node_name,
                     "labels": {"kubernetes.io/hostname": host.node_name}},
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)},
        "status": {"addresses": [
            {"type": "InternalIP", "address": host.addr4},
            {"type": "InternalIP", "address": host.addr6},
            {"type": "Hostname", "address": host.node_name}]},
    }


def changed(obj, **fields):
    """A deep copy with top-level fields replaced."""
    new = copy.deepcopy(obj)
    new.update(fields)
    return new


def merged(obj, change):
    """The object after a merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    new = dict(obj) if isinstance(obj, dict) else {}
    for name, value in change.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = merged(new.get(name), value)
    return new


_COLLECTIONS = {
    "Service": "/api/v1/namespaces/{namespace}/services",
    "EndpointSlice":
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "Endpoints": "/api/v1/namespaces/{namespace}/endpoints",
    "Node": "/api/v1/nodes",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding":
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def collection(obj):
    """The API path of the collection that an object belongs to."""
    return _COLLECTIONS[obj["kind"]].format(
        namespace=obj["metadata"].get("namespace", "default"))


def path(obj):
    return f"{collection(obj)}/{obj['metadata']['name']}"


def key(obj):
    meta = obj["metadata"]
    return f"{obj['kind']}-{meta.get('namespace', '')}-{meta['name']}".lower()
