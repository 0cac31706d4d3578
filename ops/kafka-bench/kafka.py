"""A Kafka broker with fresh data, and a client of it."""
import glob
import os
import shutil
import signal
import subprocess

from cluster import free_port, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTER_ID = "d2Vpci1rYWZrYS1iZW5jaA"
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.max.timeout.ms=3600000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
"""


class Kafka:
    """One node, with G1 and 1 GB of heap. Its data and all clients end with the `with` block."""

    def __init__(self, directory, lib):
        self.directory, self.jars = directory, os.path.join(os.path.abspath(lib), "*")
        if not glob.glob(os.path.join(lib, "kafka-clients-*.jar")):
            raise SystemExit(f"{lib} has no jars of Kafka: run ops/test-servers.sh, or name another directory with --kafka")
        self.port, self.clients, self.node, self.control = free_port(), [], None, None

    @property
    def brokers(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.node.pid

    def __enter__(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        conf, self.log = (os.path.join(self.directory, name) for name in ("server.properties", "broker.log"))
        with open(conf, "w") as file:
            file.write(PROPERTIES.format(port=self.port, controller=free_port(), data=os.path.join(self.directory, "data")))
        classes = os.path.join(self.directory, "classes")
        subprocess.run(["javac", "-nowarn", "-cp", self.jars, "-d", classes, os.path.join(HERE, "KafkaClient.java")], check=True)
        self.class_path = f"{classes}:{self.jars}"
        command = ["java", "-cp", self.jars, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.tools.StorageTool"]
        subprocess.run([*command, "format", "-t", CLUSTER_ID, "-c", conf], check=True, stdout=subprocess.DEVNULL)
        command = ["java", "-Xmx1g", "-XX:+UseG1GC", "-cp", self.jars, "kafka.Kafka", conf]
        with open(self.log, "w") as log:
            self.node = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for("Kafka serves", lambda: "Kafka Server started" in open(self.log).read())
        return self

    def __exit__(self, *_):
        for process in [*self.clients, self.node]:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(os.path.join(self.directory, "data"), ignore_errors=True)

    def command(self, arguments):
        java = ["java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", self.class_path, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return [*java, "KafkaClient", self.brokers, *map(str, arguments)]

    def client(self, *arguments):
        """Runs a command of KafkaClient.java and returns what it prints. All of them run in one process."""
        if self.control is None:
            self.control = self.spawn([])
        self.control.stdin.write(" ".join(map(str, arguments)) + "\n")
        self.control.stdin.flush()
        lines = []
        for line in self.control.stdout:
            if line == "done\n":
                return "".join(lines)
            lines.append(line)
        raise RuntimeError(f"{arguments} failed; see client.log in {self.directory}")

    def spawn(self, arguments):
        with open(os.path.join(self.directory, "client.log"), "a") as log:
            process = subprocess.Popen(self.command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.clients.append(process)
        return process

    def start_client(self, *arguments):
        """Starts a command that goes on, and waits for its first line."""
        process = self.spawn(arguments)
        process.first = process.stdout.readline().strip()
        return process
