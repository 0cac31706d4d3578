"""Clusters with several JobManagers, whose processes are killed and started again."""
import os
import shutil
import uuid

from cluster import Flink, Weir, free_port, wait_for

TASKMANAGERS = 3  # With a slot each; a job of two tasks leaves one free.


class Failing:
    """What both have in common."""

    def kill(self, role):
        process = self.processes.pop(role)
        process.kill()
        process.wait()

    def port(self):
        """The REST port of a JobManager that runs."""
        return next(port for role, port in self.rest_ports.items() if role in self.processes)

    def a_busy_taskmanager(self):
        """A TaskManager whose slot is taken."""
        found = (self.get("/taskmanagers", self.port()) or {}).get("taskmanagers", [])
        busy = sorted(manager["id"] for manager in found if manager["freeSlots"] == 0)
        return next((role for role in self.processes if busy and busy[0].startswith(f"{role}-")), None)

    def await_spare(self):
        def is_there():
            overview = self.get("/overview", self.port()) or {}
            return overview.get("taskmanagers") == TASKMANAGERS and overview.get("slots-available") == 1

        wait_for("the started process has registered", is_there)

    def resource_id(self, role):
        # Flink can't tell a new process with the id of a dead one.
        return f"{role}-{uuid.uuid4().hex[:6]}"


class HaWeir(Failing, Weir):
    """Three JobManagers, which coordinate through a raft group of their own."""

    def __init__(self, directory, binary, settings):
        super().__init__(directory, binary, 1, settings=settings)
        roles = [f"jobmanager{number}" for number in (1, 2, 3)]
        self.rest_ports, self.rpc, self.raft = ({role: free_port() for role in roles} for _ in range(3))
        self.rest_port = self.rest_ports["jobmanager1"]

    def start_role(self, role):
        settings = {
            "high-availability.storageDir": f"{self.directory}/ha",
            "execution.checkpointing.dir": f"{self.directory}/checkpoints",
            "jobmanager.rpc.addresses": ";".join(f"127.0.0.1:{port}" for port in self.rpc.values()),
            **self.settings,
        }
        if role in self.rpc:
            settings |= {
                "jobmanager.name": role,
                "jobmanager.rpc.port": self.rpc[role],
                "rest.port": self.rest_ports[role],
                "high-availability.type": "raft",
                "high-availability.raft.members": ";".join(f"{name}@127.0.0.1:{port}" for name, port in self.raft.items()),
                "high-availability.raft.dir": f"{self.directory}/raft-{role}",
            }
        else:
            settings |= {
                "taskmanager.numberOfTaskSlots": 1,
                "taskmanager.data.port": free_port(),
                "taskmanager.http.port": free_port(),
                "taskmanager.resource-id": self.resource_id(role),
            }
        options = [part for key, value in settings.items() for part in ("-D", f"{key}={value}")]
        self.spawn(role, [self.binary, role.rstrip("0123456789"), *options])

    def start(self):
        for role in [*self.rpc, *(f"taskmanager{number}" for number in range(1, TASKMANAGERS + 1))]:
            self.start_role(role)
        self.taskmanagers = TASKMANAGERS
        self.await_taskmanager()

    def leader(self):
        return ((self.get("/weir/v1/ha", self.port()) or {}).get("leader") or {}).get("name")


class HaFlink(Failing, Flink):
    """Two JobManagers, and a ZooKeeper."""

    TICK_MS = 500

    def __init__(self, directory, home, memory, settings, connectors, zookeeper):
        super().__init__(directory, home, 1, memory, settings, connectors)
        self.zookeeper, self.zookeeper_port = zookeeper, free_port()
        self.rest_ports = {f"jobmanager{number}": free_port() for number in (1, 2)}
        self.rest_port = self.rest_ports["jobmanager1"]
        # The first one leads first, and then always the one that was not killed.
        self.order = list(self.rest_ports)

    def configuration(self):
        return {
            **super().configuration(),
            "taskmanager.memory.managed.size": "256m",
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": f"127.0.0.1:{self.zookeeper_port}",
            "high-availability.storageDir": f"file://{self.directory}/ha",
            "execution.checkpointing.dir": f"file://{self.directory}/checkpoints",
            **self.settings,
        }

    def start_zookeeper(self):
        conf = f"{self.directory}/zoo.cfg"
        with open(conf, "w") as file:
            file.write(f"tickTime={self.TICK_MS}\ndataDir={self.directory}/zookeeper\nclientPort={self.zookeeper_port}\n")
            file.write("clientPortAddress=127.0.0.1\nadmin.enableServer=false\n")
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        self.spawn("zookeeper", ["java", "-Xmx256m", "-cp", f"{os.path.abspath(self.zookeeper)}/*", main, conf])

    def start_role(self, role):
        conf = f"{self.directory}/conf-{role}"
        shutil.copytree(f"{self.home}/conf", conf, dirs_exist_ok=True)
        own = {"jobmanager.rpc.port": free_port(), "rest.port": self.rest_ports.get(role, self.rest_port)}
        if role not in self.rest_ports:
            own = {"taskmanager.resource-id": self.resource_id(role)}
        own["io.tmp.dirs"] = f"{self.directory}/tmp-{role}"
        os.makedirs(own["io.tmp.dirs"], exist_ok=True)
        settings = {key: value for key, value in self.configuration().items() if key != "restart-strategy.type"} | own
        # What a user gave comes last.
        settings |= self.settings
        with open(f"{conf}/config.yaml", "w") as file:
            file.writelines(f"{key}: {value}\n" for key, value in settings.items())
        environment = {"FLINK_CONF_DIR": conf, "FLINK_HOME": self.home, "FLINK_LIB_DIR": self.lib,
                       "FLINK_LOG_DIR": self.directory, "FLINK_IDENT_STRING": role, "TZ": "UTC"}
        self.spawn(role, [f"{self.home}/bin/{role.rstrip('0123456789')}.sh", "start-foreground"], environment)
        return conf

    def start(self):
        self.start_zookeeper()
        conf = self.start_role("jobmanager1")
        wait_for("the first JobManager leads", lambda: "taskmanagers" in (self.get("/overview") or {}))
        self.start_role("jobmanager2")
        for number in range(1, TASKMANAGERS + 1):
            self.start_role(f"taskmanager{number}")
        self.taskmanagers = TASKMANAGERS
        self.await_taskmanager()
        self.start_client(conf)

    def leader(self):
        return self.order[0]

    def kill(self, role):
        super().kill(role)
        if role in self.order:
            self.order.reverse()


# Timeouts of Flink that make it notice and restart as soon as its options allow without trouble.
TUNED = {
    "high-availability.zookeeper.client.session-timeout": "2s",
    "high-availability.zookeeper.client.connection-timeout": "1s",
    "high-availability.zookeeper.client.retry-wait": "200ms",
    "high-availability.zookeeper.client.max-retry-attempts": "10",
    "heartbeat.interval": "500ms",
    "heartbeat.timeout": "2s",
    "heartbeat.rpc-failure-threshold": "2",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2147483647",
    "restart-strategy.fixed-delay.delay": "0s",
    "cluster.registration.initial-timeout": "100ms",
    "cluster.registration.max-timeout": "1s",
    "cluster.registration.error-delay": "200ms",
    "cluster.registration.refused-registration-delay": "500ms",
    "pekko.tcp.timeout": "2s",
}
