# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run costs: CPU time, memory of processes, memory of the kernel.

CPU time.  sum_exec_runtime of each thread (the first number of its schedstat,
in nanoseconds).  On a kernel without CONFIG_IRQ_TIME_ACCOUNTING, and in all
namespaces of one machine, a softirq's time is that of the thread in whose
context it runs: what one end of a veth sends is received, forwarded and handed
to the next socket within the sender's system call.  A proxy's figure so has the
delivery of what it sends to client and endpoints, and not the delivery of what
these send to it; with kernel DNAT the ends pay for all of it.  That rule is the
same for all subjects, and "all" (proxy, client, endpoints and ksoftirqd, which
takes over what is too much for one system call) has none of its arbitrariness:
the difference of "all" to kernel DNAT is what a proxy really adds.

Memory of processes.  RSS, and PSS of smaps_rollup (a page that n processes
share counts 1/n), with connections less without, per connection.

Memory of the kernel.  Objects in the slab caches that a connection's sockets,
files, epoll entries and connection tracking entries are in, and pages in socket
queues (/proc/net/sockstat), with connections less without.  These are the sums
of all ends: client and endpoints have two sockets of each connection with any
subject, kernel DNAT included.  Other programs' sockets and files count as well,
so that only a machine that does nothing else shows true figures.
"""
import os

CACHES = ("TCP", "TCPv6", "sock_inode_cache", "filp", "dentry",
          "lsm_file_cache", "lsm_inode_cache", "eventpoll_epi",
          "eventpoll_pwq", "tcp_bind_bucket", "tcp_bind2_bucket",
          "nf_conntrack", "skbuff_head_cache", "skbuff_small_head",
          "skbuff_fclone_cache")
CACHE_PREFIX = "kmalloc-"


def process_tree(pid):
    """The process and all its descendants."""
    found = [pid]
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/children",
                  encoding="ascii") as f:
            for child in f.read().split():
                found += process_tree(int(child))
    return found


def threads_of(pids):
    return [(pid, tid) for pid in pids
            for tid in os.listdir(f"/proc/{pid}/task")]


def ksoftirqd():
    """The kernel's threads, one a CPU; none in a container's /proc."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                if f.read().startswith("ksoftirqd/"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def thread_seconds(threads):
    """{thread: seconds on a CPU so far}"""
    used = {}
    for pid, tid in threads:
        with open(f"/proc/{pid}/task/{tid}/schedstat",
                  encoding="ascii") as f:
            used[(pid, tid)] = int(f.read().split()[0]) / 1e9
    return used


def machine_seconds():
    """(all, idle) of all CPUs so far, in steps of a tick."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    return sum(ticks) / hertz, (ticks[3] + ticks[4]) / hertz


class Cpu:
    """The time that groups of processes use between start and stop."""

    def __init__(self, **groups):
        self._threads = {name: threads_of(pids)
                         for name, pids in groups.items()}
        self._threads["ksoftirqd"] = threads_of(ksoftirqd())
        self._machine = machine_seconds()
        self._before = self._read()

    def _read(self):
        return {name: thread_seconds(threads)
                for name, threads in self._threads.items()}

    def stop(self):
        after = self._read()
        total, idle = (b - a for a, b in zip(self._machine,
                                             machine_seconds()))
        self.seconds, self.busiest = {}, {}
        for name, before in self._before.items():
            used = [after[name][t] - s for t, s in before.items()]
            self.seconds[name] = sum(used)
            self.busiest[name] = max(used, default=0.0)
        self.idle = idle / total if total else 0.0
        return self


def process_memory(pids):
    """(rss, pss) in bytes."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                name = line.partition(":")[0]
                if name in sums:
                    sums[name] += int(line.split()[1]) * 1024
    return sums["Rss"], sums["Pss"]


def kernel_memory():
    """Bytes in the caches above and in socket queues; None if unreadable."""
    total = 0
    try:
        with open("/proc/slabinfo", encoding="ascii") as f:
            for line in f.readlines()[2:]:
                name, active, _, size = line.split()[:4]
                if name in CACHES or name.startswith(CACHE_PREFIX):
                    total += int(active) * int(size)
    except OSError:
        return None
    with open("/proc/net/sockstat", encoding="ascii") as f:
        for line in f:
            if line.startswith("TCP:"):
                words = line.split()
                pages = int(words[words.index("mem") + 1])
                total += pages * os.sysconf("SC_PAGESIZE")
    return total


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
