# SPDX-License-Identifier: GPL-2.0-or-later
"""A real API server (and kube-proxy), built from the Go module, in a namespace.

The programs are built once per content of lib/kube/go.mod and go.sum and kept
in $XDG_CACHE_HOME/nodesplice-tests.  RBAC is on; users come from a token file,
client certificates and service accounts.
"""
import base64
import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
import urllib.parse

from . import objects, poll, proc, world
from .netns import run

VERSION = "v1.37.2"
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ("kube-apiserver", "kube-proxy")
API_LAST_BYTE = 5
API_ADDR = f"192.168.50.{API_LAST_BYTE}"
API_URL = f"https://{API_ADDR}:6443"
ADMIN_TOKEN = "admin-token"
READER = "system:serviceaccount:kube-system:nodesplice"


def cache_dir():
    """Where the programs of these very go.mod and go.sum are."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        with open(f"{HERE}/kube/{name}", "rb") as f:
            digest.update(f.read())
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{base}/nodesplice-tests/{digest.hexdigest()[:16]}"


def build(go="go"):
    """Build what is not in the cache; returns its folder."""
    to = cache_dir()
    os.makedirs(to, exist_ok=True)
    package = "k8s.io/component-base/version"
    major, minor, _ = VERSION[1:].split(".")
    flags = (f"-s -w -X {package}.gitVersion={VERSION} "
             f"-X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
    for name in PROGRAMS:
        if os.path.exists(f"{to}/{name}"):
            continue
        part = f"{to}/.{name}.{os.getpid()}"
        subprocess.run([go, "build", "-ldflags", flags, "-o", part,
                        f"k8s.io/kubernetes/cmd/{name}"],
                       cwd=f"{HERE}/kube", check=True,
                       env={**os.environ, "CGO_ENABLED": "0",
                            "GOFLAGS": "-buildvcs=false"})
        os.rename(part, f"{to}/{name}")
    return to


class ApiError(Exception):
    """An answer that is no 2xx."""

    def __init__(self, code, body):
        super().__init__(f"{code}: {body[:500]}")
        self.code = code
        self.body = body


class Api:
    """A client of the API server, from inside a namespace."""

    def __init__(self, ns, ca_file, token, addr=API_ADDR):
        self._ns = ns
        self._context = ssl.create_default_context(cafile=ca_file)
        self._token = token
        self._addr = addr
        self._connection = None

    def request(self, method, path, body=None,
                content_type="application/json"):
        """The decoded answer; ApiError if it is none of 2xx."""
        for again in (True, False):
            try:
                return self._request(method, path, body, content_type)
            except (OSError, http.client.HTTPException):
                self.close()
                if not again or method == "POST":
                    raise
        return None

    def _request(self, method, path, body, content_type):
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._addr, 6443, context=self._context, timeout=30)
            with self._ns.enter():
                self._connection.connect()
        self._connection.request(
            method, path, None if body is None else json.dumps(body),
            {"Authorization": f"Bearer {self._token}",
             "Content-Type": content_type, "Accept": "application/json"})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status // 100 != 2:
            raise ApiError(response.status, text)
        if text.startswith("{"):
            return json.loads(text)
        return text

    def get(self, path):
        return self.request("GET", path)

    def create(self, obj, dry_run=False):
        """Create it, and then its status where it has one."""
        query = "?dryRun=All" if dry_run else ""
        created = self.request("POST", objects.collection(obj) + query, obj)
        if obj.get("status") and not dry_run:
            return self.request("PATCH", objects.path(obj) + "/status",
                                {"status": obj["status"]},
                                "application/merge-patch+json")
        return created

    def put(self, obj):
        """Create or replace."""
        try:
            old = self.get(objects.path(obj))
        except ApiError as e:
            if e.code != 404:
                raise
            return self.create(obj)
        new = objects.changed(obj)
        new["metadata"] = {**obj["metadata"], "resourceVersion":
                           old["metadata"]["resourceVersion"]}
        replaced = self.request("PUT", objects.path(obj), new)
        if obj.get("status"):
            return self.request("PATCH", objects.path(obj) + "/status",
                                {"status": obj["status"]},
                                "application/merge-patch+json")
        return replaced

    def patch(self, obj, change):
        return self.request("PATCH", objects.path(obj), change,
                            "application/merge-patch+json")

    def delete(self, obj):
        try:
            return self.request("DELETE", objects.path(obj))
        except ApiError as e:
            if e.code != 404:
                raise
            return None

    def metric(self, name, **labels):
        """The sum of a counter of the API server over the given labels."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            if (line.startswith(name + "{") and
                    all(f'{k}="{v}"' in line for k, v in labels.items())):
                total += float(line.rpartition(" ")[2])
        return total

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Cluster:
    """etcd and kube-apiserver on a machine of the nodes' network."""

    def __init__(self, w, folder):
        self.world = w
        self.dir = folder
        self.bin = build()
        self.machine = w.machine("kube", API_LAST_BYTE)
        os.makedirs(folder, exist_ok=True)
        self._certificates()
        self._write("tokens.csv",
                    f'{ADMIN_TOKEN},admin,1,"system:masters"\n'
                    'proxy-token,system:kube-proxy,2\n'
                    'nobody-token,nobody,3\n')
        self.etcd = None
        self.apiserver = None
        self._start_etcd()
        self.start_apiserver()
        self.api = Api(self.machine.ns, self.path("ca.crt"), ADMIN_TOKEN)
        self.api.create(objects.node(w.node, world.NODE_POD_CIDRS))
        self.api.create(objects.node(w.remote, world.REMOTE_POD_CIDRS))
        self._grant_reader()

    def path(self, name):
        return f"{self.dir}/{name}"

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def _openssl(self, *argv):
        run(["openssl", *argv], cwd=self.dir)

    def _certificates(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes")
        self._openssl("req", "-x509", *key, "-days", "2", "-keyout", "ca.key",
                      "-out", "ca.crt", "-subj", "/CN=test-ca")
        self.certificate("apiserver", "/CN=kube-apiserver",
                         f"subjectAltName=IP:{API_ADDR},IP:127.0.0.1,"
                         f"IP:fd50::{API_LAST_BYTE},DNS:kubernetes")
        self._openssl("genrsa", "-out", "sa.key", "2048")
        self._openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def certificate(self, name, subject, extension="extendedKeyUsage="
                    "clientAuth"):
        """NAME.crt and NAME.key, signed by the cluster's CA."""
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        ext = self._write(f"{name}.ext", extension + "\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt",
                      "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", ext, "-out", f"{name}.crt")

    def _start_etcd(self):
        self.etcd = proc.Process(
            self.machine.ns,
            ["etcd", "--data-dir", self.path("etcd"), "--unsafe-no-fsync",
             "--listen-client-urls", "http://127.0.0.1:2379",
             "--advertise-client-urls", "http://127.0.0.1:2379",
             "--listen-peer-urls", "http://127.0.0.1:2380",
             "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
             "--initial-cluster", "default=http://127.0.0.1:2380"],
            self.path("etcd.log"))
        poll.until(lambda: self.etcdctl("endpoint", "health"), "etcd")

    def etcdctl(self, *argv, stdin=None):
        r = self.machine.ns.run("env", "ETCDCTL_API=3", "etcdctl", *argv,
                                check=False, stdin=stdin)
        self.etcd.check_alive()
        if r.returncode != 0:
            raise AssertionError(f"etcdctl {argv}: {r.stdout}{r.stderr}")
        return r.stdout or "ok"

    def store_service(self, key, change):
        """Change a Service in etcd itself (as a merge patch would), past the
        validation: objects that an older API server let in are like this."""
        space, name = key
        obj = objects.merged(self.api.get(
            f"/api/v1/namespaces/{space}/services/{name}"), change)
        del obj["metadata"]["resourceVersion"]
        self.etcdctl("put", f"/registry/services/specs/{space}/{name}",
                     stdin=json.dumps(obj))

    def start_apiserver(self):
        service_cidrs = ",".join(world.SERVICE_CIDRS)
        self.apiserver = proc.Process(
            self.machine.ns,
            [f"{self.bin}/kube-apiserver",
             "--etcd-servers=http://127.0.0.1:2379",
             "--etcd-compaction-interval=0",
             "--secure-port=6443", f"--advertise-address={API_ADDR}",
             f"--tls-cert-file={self.path('apiserver.crt')}",
             f"--tls-private-key-file={self.path('apiserver.key')}",
             f"--cert-dir={self.dir}",
             f"--client-ca-file={self.path('ca.crt')}",
             f"--token-auth-file={self.path('tokens.csv')}",
             "--authorization-mode=RBAC",
             "--service-account-issuer=https://kubernetes.default.svc",
             f"--service-account-key-file={self.path('sa.pub')}",
             f"--service-account-signing-key-file={self.path('sa.key')}",
             f"--service-cluster-ip-range={service_cidrs}",
             "--disable-admission-plugins=ServiceAccount",
             "--allow-privileged=true",
             "--anonymous-auth=false", "--profiling=false"],
            self.path("apiserver.log"))
        api = Api(self.machine.ns, self.path("ca.crt"), ADMIN_TOKEN)

        def ready():
            self.apiserver.check_alive()
            try:
                # The last hook creates the roles that kube-proxy needs.
                return api.get("/readyz") == "ok"
            except (ApiError, http.client.HTTPException) as e:
                raise AssertionError(str(e)) from e
        poll.until(ready, "kube-apiserver", 120, 0.1)
        api.close()

    def stop_apiserver(self):
        self.apiserver.kill()
        self.api.close()

    def restart_apiserver(self):
        self.stop_apiserver()
        self.start_apiserver()

    def compact(self):
        """Forget all history, so that an old resourceVersion is answered
        with 410."""
        status = json.loads(self.etcdctl("endpoint", "status", "-w", "json"))
        revision = status[0]["Status"]["header"]["revision"]
        self.etcdctl("compact", str(revision))

    def refuse(self, host, refuse=True):
        """Refuse a host's connections to the API server."""
        if refuse:
            self.machine.ns.nft(
                "table inet refuse {\n chain input {\n"
                "  type filter hook input priority 0\n"
                f"  ip saddr {host.addr4} meta l4proto tcp "
                "reject with tcp reset\n"
                f"  ip6 saddr {host.addr6} meta l4proto tcp "
                "reject with tcp reset\n }\n}\n")
        else:
            self.machine.ns.nft("delete table inet refuse\n")

    def _grant_reader(self):
        """The service account of the daemon with the rights it asks for."""
        self.api.request("PUT", "/api/v1/namespaces/kube-system", {
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "kube-system"}})
        self.account = {"apiVersion": "v1", "kind": "ServiceAccount",
                        "metadata": {"name": "nodesplice",
                                     "namespace": "kube-system"}}
        self.api.create(self.account)
        self.role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole", "metadata": {"name": "test-nodesplice"},
            "rules": [
                {"apiGroups": [""],
                 "resources": ["services", "endpoints", "nodes"],
                 "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"],
                 "resources": ["endpointslices"],
                 "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["networking.k8s.io"],
                 "resources": ["servicecidrs"],
                 "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["events.k8s.io"], "resources": ["events"],
                 "verbs": ["create", "patch"]}]}
        self.api.create(self.role)
        self.api.create({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "test-nodesplice"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole", "name": "test-nodesplice"},
            "subjects": [{"kind": "ServiceAccount", "name": "nodesplice",
                          "namespace": "kube-system"}]})

    def account_token(self):
        """A new token of the daemon's service account."""
        answer = self.api.request(
            "POST", objects.path(self.account) + "/token",
            {"apiVersion": "authentication.k8s.io/v1",
             "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}})
        return answer["status"]["token"]

    def revoke_account_tokens(self):
        """Tokens name the account's uid: a new account voids the old ones."""
        self.api.delete(self.account)
        self.api.create(self.account)

    def kubeconfig(self, name, user, server=API_URL, **cluster):
        """Write a kubeconfig with one context; `user` as in the file."""
        ca = base64.b64encode(
            open(self.path("ca.crt"), "rb").read()).decode()
        if not cluster.pop("no_ca", False):
            cluster["certificate-authority-data"] = ca
        return self._write(name + ".kubeconfig", json.dumps({
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server,
                                                   **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c",
                                                   "user": "u"}}],
            "current-context": "x"}, indent=1))

    def list_path(self, kind, **query):
        path = objects.collection({"kind": kind, "metadata": {}})
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def close(self):
        for process in (self.apiserver, self.etcd):
            if process:
                process.kill()
        shutil.rmtree(self.path("etcd"), ignore_errors=True)
