"""Clusters of one JobManager and one TaskManager, of Weir and of Flink, whose processes are measured."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
HERE = os.path.dirname(os.path.abspath(__file__))
# A client that plans scripts is not a part of the cluster.
NOT_MEASURED = ("client", "zookeeper")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of a process, with all its threads."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def forget_peak(pid):
    """Makes the peak of the resident memory start again, where the kernel lets us."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as clear:
        clear.write("5")


def wait_for(what, condition, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(what)


class Cluster:
    """What both have in common: two processes, REST, a job at a time."""

    taskmanagers = 1

    def __init__(self, directory, settings=None):
        """`settings` are added to the configuration of each process."""
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        self.directory, self.processes, self.rest_port = directory, {}, free_port()
        self.settings = settings or {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(self, name, command, environment=None, **pipes):
        log = open(os.path.join(self.directory, f"{name}.log"), "w")
        pipes.setdefault("stdin", subprocess.DEVNULL)
        pipes.setdefault("stdout", log)
        process = subprocess.Popen(
            command, stderr=log, cwd=self.directory, start_new_session=True, env={**os.environ, **(environment or {})}, **pipes
        )
        self.processes[name] = process
        return process

    def get(self, path, port=None):
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.rest_port}{path}", timeout=5) as answer:
                return json.load(answer)
        return None

    def cancel(self, job):
        """Cancels a job and waits until it has ended."""
        url = f"http://127.0.0.1:{self.rest_port}/jobs/{job}?mode=cancel"
        urllib.request.urlopen(urllib.request.Request(url, method="PATCH"), timeout=5).close()
        wait_for("the job ends", lambda: (self.get(f"/jobs/{job}") or {}).get("state") == "CANCELED")

    def is_running(self, job, port=None):
        """Whether all tasks of the job run."""
        found = self.get(f"/jobs/{job}", port) or {}
        runs = lambda vertex: vertex["tasks"].get("RUNNING") == vertex["parallelism"]
        return found.get("state") == "RUNNING" and all(map(runs, found["vertices"]))

    def await_taskmanager(self):
        def registered():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended:
                raise RuntimeError(f"{ended} ended; see the logs in {self.directory}")
            return (self.get("/overview") or {}).get("taskmanagers") == self.taskmanagers

        # On a busy machine, a JVM may take minutes.
        wait_for("the TaskManagers", registered, 300)

    def measure(self, script, others=None):
        """Runs a script of one job to its end and says what that took. `others`: pids of other processes whose times are of interest."""
        roles = {role: process.pid for role, process in self.processes.items() if role not in NOT_MEASURED}
        others = others or {}
        for pid in roles.values():
            forget_peak(pid)
        load = os.getloadavg()[0]
        before = {name: cpu_seconds(pid) for name, pid in {**roles, **others}.items()}
        job = self.run(script)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in {**roles, **others}.items()}
        found = self.get(f"/jobs/{job}") or {}
        return {
            "cpu_s": round(sum(used[role] for role in roles), 2),
            "taskmanager_cpu_s": round(sum(used[role] for role in roles if role != "jobmanager"), 2),
            **{f"{name}_cpu_s": round(used[name], 2) for name in others},
            "wall_s": found.get("duration", 0) / 1000,
            "peak_mb": round(sum(peak_mb(pid) for pid in roles.values())),
            "load": load,
        }

    def printed(self):
        """What the sinks of the TaskManager have printed."""
        with open(os.path.join(self.directory, "taskmanager.log"), errors="replace") as log:
            return log.read()


class Weir(Cluster):
    name = "weir"

    def __init__(self, directory, binary, slots, taskmanagers=1, settings=None):
        super().__init__(directory, settings)
        self.binary, self.slots, self.taskmanagers = os.path.abspath(binary), slots, taskmanagers

    def role(self, role, settings, number=""):
        common = {
            "high-availability.storageDir": f"{self.directory}/ha",
            "execution.checkpointing.dir": f"{self.directory}/checkpoints",
            "jobmanager.rpc.addresses": f"127.0.0.1:{self.rpc_port}",
        }
        options = [part for key, value in {**common, **self.settings, **settings}.items() for part in ("-D", f"{key}={value}")]
        self.spawn(role + number, [self.binary, role, *options])

    def start(self):
        self.rpc_port = free_port()
        self.role("jobmanager", {"jobmanager.rpc.port": self.rpc_port, "rest.port": self.rest_port})
        for number in ["", *(f"-{number}" for number in range(2, self.taskmanagers + 1))]:
            ports = {"taskmanager.data.port": free_port(), "taskmanager.http.port": free_port()}
            self.role("taskmanager", {"taskmanager.numberOfTaskSlots": self.slots, **ports}, number)
        self.await_taskmanager()

    def client(self, *arguments):
        command = [self.binary, "sql", "-m", f"127.0.0.1:{self.rest_port}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def refusal(self, script):
        """Why a script is not planned, or None."""
        found = self.client("-f", script)
        return None if found.returncode == 0 else (found.stderr.strip() or found.stdout.strip())

    def run(self, script, to_end=True):
        """Runs a script and returns its last job. Whether the client waits for the end of the job is a setting in the script."""
        found = self.client("-f", script)
        if found.returncode != 0:
            raise RuntimeError(f"{script}: {found.stdout}{found.stderr}")
        return max(self.get("/jobs/overview")["jobs"], key=lambda job: job["start-time"])["jid"]


class Flink(Cluster):
    name = "flink"

    def __init__(self, directory, home, slots, memory, settings=None, connectors=None):
        """`connectors` is a directory of jars that are not a part of Flink."""
        super().__init__(directory, settings)
        self.home, self.slots, self.memory = os.path.abspath(home), slots, memory
        self.lib = os.path.join(self.directory, "lib")
        os.makedirs(self.lib)
        for place in (f"{self.home}/lib", *([connectors] if connectors else [])):
            for name in os.listdir(place):
                os.symlink(os.path.join(os.path.abspath(place), name), os.path.join(self.lib, name))

    def configuration(self):
        opens = re.search(r"^ *all: (.*)$", open(f"{self.home}/conf/config.yaml").read(), re.M).group(1)
        return {
            "env.java.opts.all": f"{opens} -Duser.timezone=UTC",
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "rest.address": "127.0.0.1",
            "rest.port": self.rest_port,
            "taskmanager.host": "127.0.0.1",
            "jobmanager.memory.process.size": "1600m",
            "taskmanager.memory.process.size": self.memory,
            # State is on the heap, so managed memory would stay unused.
            "taskmanager.memory.managed.size": "0m",
            "taskmanager.numberOfTaskSlots": self.slots,
            "pipeline.object-reuse": "true",
            "state.backend.type": "hashmap",
            "restart-strategy.type": "none",
            "io.tmp.dirs": f"{self.directory}/tmp",
            **self.settings,
        }

    def start(self):
        conf = os.path.join(self.directory, "conf")
        shutil.copytree(f"{self.home}/conf", conf)
        os.makedirs(f"{self.directory}/tmp")
        with open(f"{conf}/config.yaml", "w") as file:
            file.writelines(f"{key}: {value}\n" for key, value in self.configuration().items())
        environment = {"FLINK_CONF_DIR": conf, "FLINK_HOME": self.home, "FLINK_LIB_DIR": self.lib,
                       "FLINK_LOG_DIR": self.directory, "TZ": "UTC"}
        for role in ("jobmanager", "taskmanager"):
            self.spawn(role, [f"{self.home}/bin/{role}.sh", "start-foreground"], environment)
        self.await_taskmanager()
        self.start_client(conf)

    def start_client(self, conf):
        classes = os.path.join(self.directory, "classes")
        source = os.path.join(HERE, "FlinkSql.java")
        subprocess.run(["javac", "-nowarn", "-cp", f"{self.lib}/*", "-d", classes, source], check=True)
        command = ["java", *opens_of(conf), "-Duser.timezone=UTC", "-Xmx1g", "-cp", f"{classes}:{self.lib}/*"]
        quiet = [f"-Dlog4j.configurationFile={conf}/log4j-cli.properties", f"-Dlog.file={self.directory}/client-log4j.log"]
        self.spawn("client", [*command[:-2], *quiet, *command[-2:], "FlinkSql", str(self.rest_port)],
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, script, to_end=True):
        """Runs a script and returns its last job, when that has ended, or as soon as it was submitted."""
        client = self.processes["client"]
        client.stdin.write(f"{'run' if to_end else 'submit'} {script}\n".encode())
        client.stdin.flush()
        answer = client.stdout.readline().decode().split(maxsplit=1)
        if not answer or answer[0] != "done":
            raise RuntimeError(f"{script}: {' '.join(answer)}")
        return answer[1].strip()


def opens_of(conf):
    """The --add-opens of the configuration, which the client needs as well."""
    with open(f"{conf}/config.yaml") as file:
        line = re.search(r"^env.java.opts.all: (.*)$", file.read(), re.M).group(1)
    return [option for option in line.split() if option.startswith("--add-")]
