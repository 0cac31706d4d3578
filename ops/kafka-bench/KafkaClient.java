import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The side of Kafka: {@code KafkaClient BROKERS COMMAND TOPIC ...}. Without a command, each line of the input is one, and after what it
 * prints there is a line with {@code done}. Readers see what is committed.
 *
 * <pre>
 *   create TOPIC PARTITIONS
 *   delete TOPIC
 *   load TOPIC ROWS json|csv     bids, always the same; row i goes to partition i % partitions
 *   sums TOPIC [FIELD]           number of messages, sum of their CRC-32s, sum of a member of JSON
 *   latency IN OUT RATE WARM SECONDS REPEATS   time from send to OUT's reader: a line of JSON for each repeat
 *   produce TOPIC RATE           {"id","k","ts"} until the input ends; prints the first ts, then how many were sent
 *   watch TOPIC FILE             appends when each message came, and the message, for ever
 *   dump TOPIC FILE              the messages up to now, a line each
 * </pre>
 */
public class KafkaClient {
  static String brokers;

  public static void main(String[] a) throws Exception {
    brokers = a[0];
    if (a.length > 1) {
      run(Arrays.copyOfRange(a, 1, a.length));
      return;
    }
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      run(line.split(" "));
      System.out.println("done");
      System.out.flush();
    }
  }

  static void run(String[] a) throws Exception {
    String topic = a[1];
    switch (a[0]) {
      case "create", "delete" -> {
        try (Admin admin = Admin.create(properties())) {
          if (a[0].equals("delete")) admin.deleteTopics(List.of(topic)).all().get();
          else admin.createTopics(List.of(new NewTopic(topic, Integer.parseInt(a[2]), (short) 1))).all().get();
        }
      }
      case "load" -> load(topic, Long.parseLong(a[2]), a[3]);
      case "sums" -> sums(topic, a.length > 2 ? a[2] : null);
      case "latency" -> latency(topic, a[2], Integer.parseInt(a[3]), Integer.parseInt(a[4]), Integer.parseInt(a[5]), Integer.parseInt(a[6]));
      case "produce" -> produce(topic, Long.parseLong(a[2]));
      case "watch" -> watch(topic, Path.of(a[2]));
      case "dump" -> {
        try (Writer file = Files.newBufferedWriter(Path.of(a[2]))) {
          readAll(topic, record -> write(file, text(record) + "\n"));
        }
      }
      default -> throw new IllegalArgumentException(a[0]);
    }
  }

  static Map<String, Object> properties(Object... pairs) {
    Map<String, Object> properties = new HashMap<>();
    properties.put("bootstrap.servers", brokers);
    for (int i = 0; i < pairs.length; i += 2) properties.put((String) pairs[i], pairs[i + 1]);
    return properties;
  }

  static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
    return new KafkaProducer<>(properties(pairs), new ByteArraySerializer(), new ByteArraySerializer());
  }

  static KafkaConsumer<byte[], byte[]> consumer(String topic, boolean fromEnd) {
    Map<String, Object> properties = properties("isolation.level", "read_committed", "enable.auto.commit", false, "max.poll.records", 5000);
    KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    List<TopicPartition> partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
    consumer.assign(partitions);
    if (fromEnd) consumer.seekToEnd(partitions);
    else consumer.seekToBeginning(partitions);
    partitions.forEach(consumer::position);
    return consumer;
  }

  static void readAll(String topic, Consumer<ConsumerRecord<byte[], byte[]>> each) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, false)) {
      Map<TopicPartition, Long> end = consumer.endOffsets(consumer.assignment());
      while (end.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
        consumer.poll(Duration.ofMillis(100)).forEach(each);
      }
    }
  }

  static long micros() {
    Instant now = Instant.now();
    return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
  }

  static String text(ConsumerRecord<byte[], byte[]> record) {
    return new String(record.value(), StandardCharsets.UTF_8);
  }

  /** An integer member of a flat JSON object. */
  static long member(byte[] value, String name) {
    String text = new String(value, StandardCharsets.ISO_8859_1);
    int start = text.indexOf("\"" + name + "\":") + name.length() + 3;
    int end = start;
    while (end < text.length() && (Character.isDigit(text.charAt(end)) || text.charAt(end) == '-')) end++;
    return Long.parseLong(text.substring(start, end));
  }

  static void send(KafkaProducer<byte[], byte[]> producer, String topic, int partition, String text) {
    producer.send(new ProducerRecord<>(topic, partition, null, text.getBytes(StandardCharsets.ISO_8859_1)));
  }

  /** 100 bids a millisecond of event time, in order. */
  static void load(String topic, long rows, String format) {
    String line = format.equals("json") ? "{\"auction\":%d,\"bidder\":%d,\"price\":%d,\"ts\":%d}" : "%d,%d,%d,%d";
    String[] parts = line.split("%d", -1);
    try (KafkaProducer<byte[], byte[]> producer =
        producer("compression.type", "lz4", "batch.size", 500_000, "linger.ms", 20, "buffer.memory", 64L << 20)) {
      int partitions = producer.partitionsFor(topic).size();
      for (long i = 0; i < rows; i++) {
        long mixed = i * 0x9E3779B97F4A7C15L;
        mixed ^= mixed >>> 32;
        mixed *= 0xD6E8FEB86659FD93L;
        mixed ^= mixed >>> 32;
        long[] values = {Long.remainderUnsigned(mixed, 10_000), (mixed >>> 20) % 100_000, (mixed >>> 40) % 10_000 + 1, 1_600_000_000_000L + i / 100};
        StringBuilder text = new StringBuilder(parts[0]);
        for (int v = 0; v < 4; v++) text.append(values[v]).append(parts[v + 1]);
        send(producer, topic, (int) (i % partitions), text.toString());
      }
    }
  }

  static void sums(String topic, String member) {
    long[] sums = new long[3];
    CRC32 crc = new CRC32();
    readAll(topic, record -> {
      sums[0]++;
      crc.reset();
      crc.update(record.value());
      sums[1] += crc.getValue();
      if (member != null) sums[2] += member(record.value(), member);
    });
    System.out.println(sums[0] + " " + sums[1] + " " + sums[2]);
  }

  /** Sends rows at a steady rate and takes the delay of each: a repeat lasts some seconds, after a time that does not count. */
  static void latency(String in, String out, int rate, int warm, int seconds, int repeats) throws Exception {
    int perRepeat = rate * seconds;
    long[][] delays = new long[repeats][perRepeat];
    int[] received = new int[repeats];
    long begin = micros() + 1_000_000, first = begin + warm * 1_000_000L, end = first + (long) repeats * seconds * 1_000_000L;
    Thread reader = new Thread(() -> {
      try (KafkaConsumer<byte[], byte[]> consumer = consumer(out, true)) {
        while (micros() < end + 5_000_000) {
          var records = consumer.poll(Duration.ofMillis(100));
          long now = micros();
          for (var record : records) {
            long sent = member(record.value(), "t");
            if (sent < first || sent >= end) continue;
            int repeat = (int) ((sent - first) / (seconds * 1_000_000L));
            if (received[repeat] < perRepeat) delays[repeat][received[repeat]++] = now - sent;
          }
        }
      }
    });
    reader.start();
    try (KafkaProducer<byte[], byte[]> producer = producer("linger.ms", 0, "acks", "all")) {
      int partitions = producer.partitionsFor(in).size();
      while (micros() < begin) LockSupport.parkNanos(100_000);
      long sent = 0;
      for (long now = micros(); now < end; now = micros()) {
        for (long due = (now - begin) * rate / 1_000_000; sent < due; sent++) {
          String text = "{\"id\":" + sent + ",\"k\":" + sent % 100 + ",\"price\":" + (sent % 9000 + 1001) + ",\"t\":" + micros() + "}";
          send(producer, in, (int) (sent % partitions), text);
        }
        LockSupport.parkNanos(1_000_000);
      }
    }
    reader.join();
    for (int repeat = 0; repeat < repeats; repeat++) {
      long[] sorted = Arrays.copyOf(delays[repeat], received[repeat]);
      Arrays.sort(sorted);
      StringBuilder line = new StringBuilder("{\"rows\":" + sorted.length);
      for (double share : new double[] {0.5, 0.9, 0.99, 0.999, 1}) {
        double ms = sorted.length == 0 ? -1 : sorted[(int) Math.min(sorted.length - 1, share * sorted.length)] / 1000.0;
        String name = share == 1 ? "max" : "p" + String.valueOf(share * 100).replaceAll("\\.0$", "");
        line.append(String.format(Locale.ROOT, ",\"%s\":%.1f", name, ms));
      }
      System.out.println(line + "}");
    }
  }

  static void produce(String topic, long rate) throws Exception {
    try (KafkaProducer<byte[], byte[]> producer = producer("linger.ms", 1, "acks", "all")) {
      int partitions = producer.partitionsFor(topic).size();
      long first = System.currentTimeMillis(), sent = 0;
      System.out.println(first);
      System.out.flush();
      while (System.in.available() == 0) {
        for (long due = (System.currentTimeMillis() - first) * rate / 1000 + 1; sent < due; sent++) {
          long key = sent / partitions % 100, ts = first + sent * 1000 / rate;
          send(producer, topic, (int) (sent % partitions), "{\"id\":" + sent + ",\"k\":" + key + ",\"ts\":" + ts + "}");
        }
        LockSupport.parkNanos(1_000_000);
      }
      producer.flush();
      System.out.println(sent);
    }
  }

  static void watch(String topic, Path path) throws IOException {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(topic, true); BufferedWriter file = Files.newBufferedWriter(path)) {
      System.out.println("ready");
      System.out.flush();
      while (true) {
        for (var record : consumer.poll(Duration.ofMillis(100))) write(file, System.currentTimeMillis() + " " + text(record) + "\n");
        file.flush();
      }
    }
  }

  static void write(Writer file, String text) {
    try {
      file.write(text);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
