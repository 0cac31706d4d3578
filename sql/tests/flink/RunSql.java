import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;
import org.apache.flink.configuration.*;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.minicluster.*;
import org.apache.flink.table.api.*;
import org.apache.flink.table.api.internal.TableResultInternal;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.utils.print.RowDataToStringConverter;
import org.apache.flink.util.CloseableIterator;

/**
 * Asks Apache Flink for the results that the SQL tests are compared with.
 *
 * <pre>
 * RunSql probes FILE.probes...        answers every expression, rewrites the files in place
 * RunSql scripts DATA_DIR FILE.sql... runs every script, writes FILE.expected and FILE.plan beside it
 * RunSql serve PORT_FILE              answers requests on a loopback port until it is stopped
 * </pre>
 *
 * All jobs of a run share one MiniCluster in this process; every job has parallelism 1.
 */
public class RunSql {
  static final int BATCH = 25;
  static final long LIMIT_SECONDS = 90;
  static final int MAX_ROWS = 100_000;
  static MiniCluster cluster;

  public static void main(String[] a) throws Exception {
    cluster = startCluster();
    switch (a[0]) {
      case "probes" -> { for (int i = 1; i < a.length; i++) probeFile(Path.of(a[i])); }
      case "scripts" -> { for (int i = 2; i < a.length; i++) scriptFile(Path.of(a[i]), Path.of(a[1]).toRealPath().toString()); }
      case "serve" -> serve(Path.of(a[1]));
      default -> throw new IllegalArgumentException("first argument: probes, scripts or serve");
    }
    cluster.close();
    System.exit(0);
  }

  static MiniCluster startCluster() throws Exception {
    Configuration c = new Configuration();
    c.set(RestOptions.BIND_PORT, "0");
    c.set(RestOptions.ADDRESS, "localhost");
    c.set(TaskManagerOptions.NUM_TASK_SLOTS, 6);
    c.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    c.set(HeartbeatManagerOptions.HEARTBEAT_TIMEOUT, Duration.ofMinutes(10));
    MiniCluster m = new MiniCluster(new MiniClusterConfiguration.Builder()
        .setConfiguration(c).setNumTaskManagers(1).setNumSlotsPerTaskManager(6).build());
    m.start();
    return m;
  }

  static TableEnvironment environment(boolean streaming) throws Exception {
    URI rest = cluster.getRestAddress().get();
    Configuration c = new Configuration();
    c.set(DeploymentOptions.TARGET, "remote");
    c.set(RestOptions.ADDRESS, rest.getHost());
    c.set(RestOptions.PORT, rest.getPort());
    c.set(CoreOptions.DEFAULT_PARALLELISM, 1);
    c.setString("rest.retry.delay", "50 ms");
    c.setString("client.retry-period", "50 ms");
    c.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    EnvironmentSettings.Builder b = EnvironmentSettings.newInstance().withConfiguration(c);
    TableEnvironment t = TableEnvironment.create((streaming ? b.inStreamingMode() : b.inBatchMode()).build());
    t.getConfig().set("table.local-time-zone", "UTC");
    return t;
  }

  // ---- running one statement -------------------------------------------------------------------

  record Rows(String columns, List<String[]> rows) {}

  /** Executes a statement. A row is its kind and its values as CAST(.. AS STRING) prints them, null for NULL. */
  static Rows execute(TableEnvironment t, String sql) throws Exception {
    TableResultInternal r = (TableResultInternal) t.executeSql(sql);
    JobClient job = r.getJobClient().orElse(null);
    ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor();
    boolean[] late = new boolean[1];
    watch.schedule(() -> { late[0] = true; if (job != null) job.cancel(); }, LIMIT_SECONDS, TimeUnit.SECONDS);
    List<String[]> out = new ArrayList<>();
    try (CloseableIterator<RowData> it = r.collectInternal()) {
      RowDataToStringConverter print = r.getRowDataToStringConverter();
      while (it.hasNext() && out.size() < MAX_ROWS) {
        RowData row = it.next();
        String[] text = print.convert(row);
        String[] line = new String[text.length + 1];
        line[0] = row.getRowKind().shortString();
        for (int i = 0; i < text.length; i++) line[i + 1] = row.isNullAt(i) ? null : text[i];
        out.add(line);
      }
    } finally {
      watch.shutdownNow();
    }
    if (late[0]) throw new TimeoutException("the statement did not finish in " + LIMIT_SECONDS + " s");
    StringJoiner names = new StringJoiner(", ");
    for (Column c : r.getResolvedSchema().getColumns()) names.add("`" + c.getName() + "` " + c.getDataType());
    return new Rows(names.toString(), out);
  }

  static String escape(String s) {
    String t = s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    return Pattern.compile("[\\x00-\\x1f\\x7f]").matcher(t).replaceAll(m -> String.format("\\\\u%04x", (int) m.group().charAt(0)));
  }

  static final Pattern POSITION = Pattern.compile("^(SQL validation failed\\. ?)?(From|At) line \\d+, column \\d+( to line \\d+, column \\d+)?: ");

  /** First sentence of the deepest cause, with its class; the rest names generated code and positions. */
  static String error(Throwable e) {
    Throwable deepest = e;
    for (Throwable c = e; c != null; c = c.getCause()) if (c.getMessage() != null) deepest = c;
    String m = deepest.getMessage() == null ? deepest.toString() : deepest.getMessage();
    m = m.strip().split("\n")[0];
    String kind = deepest.getClass().getSimpleName();
    Matcher named = Pattern.compile("^([a-z]+\\.)+([A-Z]\\w+)(: |$)").matcher(m);
    if (named.find()) { kind = named.group(2); m = m.substring(named.end()); }
    m = POSITION.matcher(m).replaceFirst("").replaceAll("[\\t\\r]", " ");
    int end = m.indexOf(". ");
    if (end > 0) m = m.substring(0, end + 1);
    return "ERROR " + kind + ": " + (m.length() > 240 ? m.substring(0, 240) : m);
  }

  // ---- probes ----------------------------------------------------------------------------------

  /** An expression, and the same with its literals as columns so that Flink cannot fold it while planning. */
  static class Probe {
    final String text;
    String atRuntime;
    final List<String> literals = new ArrayList<>();
    String prefix, type, folded, value;

    Probe(String text) { this.text = text; }

    boolean deferred() { return atRuntime != null && !literals.isEmpty(); }
  }

  static final Pattern TOKEN = Pattern.compile(
      "(?i)\\b(?:TIMESTAMP|DATE|TIME)\\s+'(?:[^']|'')*'" + "|INTERVAL\\s+'[^']*'[^,()]*" + "|U&'(?:[^']|'')*'|\\bx'[^']*'|_UTF16'(?:[^']|'')*'"
      + "|'(?:[^']|'')*'" + "|\\b(?:CHAR|VARCHAR|BINARY|VARBINARY|DECIMAL|NUMERIC|DEC|TIMESTAMP|TIMESTAMP_LTZ|TIME)\\s*\\([^)]*\\)"
      + "|\\b[A-Za-z_]\\w*" + "|`[^`]*`" + "|\\d+(?:\\.\\d*)?(?:[eE][+-]?\\d+)?|\\.\\d+(?:[eE][+-]?\\d+)?");
  static final Pattern LITERAL = Pattern.compile("(?is)^(?:(?:TIMESTAMP|DATE|TIME)\\s+'.*'|U&'.*'|x'.*'|_UTF16'.*'|'.*'|[\\d.][\\d.eE+-]*|TRUE|FALSE)$");

  static void defer(Probe p, String prefix) {
    if (Pattern.compile("(?i)\\b(SELECT|VALUES|ARRAY|MAP|ROW)\\b").matcher(p.text).find()) return;
    p.prefix = prefix;
    p.atRuntime = TOKEN.matcher(p.text).replaceAll(m -> {
      if (!LITERAL.matcher(m.group()).matches()) return Matcher.quoteReplacement(m.group());
      p.literals.add(m.group());
      return prefix + "_" + (p.literals.size() - 1);
    });
  }

  static String typeOf(TableEnvironment t, String sql) {
    return t.sqlQuery(sql).getResolvedSchema().getColumnDataTypes().get(0).toString();
  }

  /** A literal becomes CASE WHEN x = 1 THEN literal END over a column x that Flink cannot know while planning. */
  static String runtimeQuery(List<Probe> ps) {
    StringJoiner select = new StringJoiner(", "), columns = new StringJoiner(", ");
    for (Probe p : ps) {
      select.add(p.atRuntime);
      for (int i = 0; i < p.literals.size(); i++) {
        columns.add("CASE WHEN x = 1 THEN " + p.literals.get(i) + " END AS " + p.prefix + "_" + i);
      }
    }
    return "SELECT " + select + " FROM (SELECT " + columns + " FROM (VALUES (1), (2)) AS v(x)) AS literals";
  }

  static String foldedQuery(List<Probe> ps) {
    StringJoiner select = new StringJoiner(", ");
    for (Probe p : ps) select.add(p.text);
    return "SELECT " + select;
  }

  static void answer(List<Probe> all, TableEnvironment t) {
    List<Probe> valid = new ArrayList<>(), deferred = new ArrayList<>();
    int n = 0;
    for (Probe p : all) {
      try {
        p.type = typeOf(t, "SELECT " + p.text);
        valid.add(p);
      } catch (Throwable e) {
        p.folded = error(e);
      }
      if (p.type == null && Pattern.compile("^ERROR (Sql|Parse|Calcite|Validation)").matcher(p.folded).find()) continue;
      defer(p, "c" + n++);
      if (!p.deferred()) continue;
      try {
        String type = typeOf(t, runtimeQuery(List.of(p)));
        if (p.type == null) p.type = type;
        if (type.replace(" NOT NULL", "").equals(p.type.replace(" NOT NULL", ""))) deferred.add(p);
      } catch (Throwable e) {
        p.atRuntime = null;
      }
    }
    run(valid, t, false);
    run(deferred, t, true);
  }

  static void run(List<Probe> ps, TableEnvironment t, boolean runtime) {
    for (int i = 0; i < ps.size(); i += BATCH) {
      List<Probe> part = ps.subList(i, Math.min(i + BATCH, ps.size()));
      try {
        one(part, t, runtime);
      } catch (Throwable e) {
        for (Probe p : part) {
          try {
            one(List.of(p), t, runtime);
          } catch (Throwable e2) {
            if (!runtime) p.folded = error(e2);
            else if (ranAtAll(e2)) p.value = error(e2);
          }
        }
      }
    }
  }

  /** Some arguments must be literals; as columns they fail while planning, which says nothing about the expression. */
  static boolean ranAtAll(Throwable e) {
    for (Throwable c = e; c != null; c = c.getCause()) {
      if (String.valueOf(c.getMessage()).contains("Job execution failed")) return true;
    }
    return false;
  }

  static void one(List<Probe> ps, TableEnvironment t, boolean runtime) throws Exception {
    String[] row = execute(t, runtime ? runtimeQuery(ps) : foldedQuery(ps)).rows.get(0);
    for (int i = 0; i < ps.size(); i++) {
      String v = row[i + 1] == null ? "NULL" : escape(row[i + 1]);
      if (runtime) ps.get(i).value = v; else ps.get(i).folded = v;
    }
  }

  /** The value is the one at run time; where folding while planning gives another, the line has a fourth column. */
  static String line(Probe p) {
    String value = p.value == null ? p.folded : p.value;
    String differs = p.value != null && !p.value.equals(p.folded) ? "\tfolded: " + p.folded : "";
    return p.text + "\t" + (p.type == null ? "-" : p.type) + "\t" + value + differs;
  }

  /** The text with every expression in it answered; SET lines hold for the lines below them. */
  static String answers(String text) throws Exception {
    List<Object> out = new ArrayList<>();
    List<Probe> open = new ArrayList<>();
    TableEnvironment t = environment(false);
    for (String l : text.lines().toList()) {
      Matcher set = Pattern.compile("(?i)^(?:# )?SET '([^']*)' = '([^']*)'").matcher(l);
      if (set.find()) {
        answer(open, t);
        open.clear();
        t.getConfig().set(set.group(1), set.group(2));
      }
      boolean comment = set.reset().find() || l.startsWith("#") || l.isBlank();
      if (!comment) open.add(new Probe(l.split("\t")[0].strip()));
      out.add(comment ? l : open.get(open.size() - 1));
    }
    answer(open, t);
    StringBuilder answered = new StringBuilder();
    for (Object o : out) answered.append(o instanceof Probe p ? line(p) : o).append('\n');
    return answered.toString();
  }

  static void probeFile(Path file) throws Exception {
    String text = answers(Files.readString(file));
    Files.writeString(file, text);
    System.out.println(file.getFileName() + ": " + text.lines().filter(l -> !l.startsWith("#")).count() + " probes");
  }

  // ---- scripts ---------------------------------------------------------------------------------

  /** Splits at semicolons outside quotes; drops comments. */
  static List<String> statements(String sql) {
    List<String> out = new ArrayList<>();
    StringBuilder s = new StringBuilder();
    Matcher m = Pattern.compile("(?s)--[^\\n]*|/\\*(?!\\+).*?\\*/|'(?:[^']|'')*'|`[^`]*`|;|.").matcher(sql);
    while (m.find()) {
      String g = m.group();
      if (g.startsWith("--") || g.startsWith("/*") && !g.startsWith("/*+")) { s.append(' '); continue; }
      if (!g.equals(";")) { s.append(g); continue; }
      out.add(s.toString().strip());
      s.setLength(0);
    }
    out.add(s.toString().strip());
    out.removeIf(String::isEmpty);
    return out;
  }

  /** Runs a script; `plan`, if not null, gets the physical plan of the last statement with its changelog modes. */
  static String script(String sql, String data, StringBuilder plan) throws Exception {
    TableEnvironment t = environment(true);
    String answer = "";
    List<String> all = statements(sql.replace("${data}", data));
    for (int i = 0; i < all.size(); i++) {
      String s = all.get(i);
      Matcher set = Pattern.compile("(?is)^SET\\s+'([^']*)'\\s*=\\s*'([^']*)'$").matcher(s);
      if (set.find()) {
        if (set.group(1).equals("execution.runtime-mode")) t = environment(!set.group(2).equalsIgnoreCase("batch"));
        else t.getConfig().set(set.group(1), set.group(2));
        continue;
      }
      if (plan != null && i == all.size() - 1) plan.append(physicalPlan(t, s));
      Rows r = execute(t, s);
      StringBuilder text = new StringBuilder("# ").append(r.columns).append('\n');
      for (String[] row : r.rows) {
        StringJoiner line = new StringJoiner("\t");
        for (String v : row) line.add(v == null ? "\\N" : escape(v));
        text.append(line).append('\n');
      }
      answer = text.toString();
    }
    return answer;
  }

  static String physicalPlan(TableEnvironment t, String sql) {
    String all = t.explainSql(sql, ExplainDetail.CHANGELOG_MODE);
    String from = "== Optimized Physical Plan ==\n";
    return all.substring(all.indexOf(from) + from.length(), all.indexOf("== Optimized Execution Plan ==")).strip() + "\n";
  }

  static void scriptFile(Path file, String data) throws IOException {
    String name = file.getFileName().toString().replaceAll("\\.sql$", ""), sql = Files.readString(file), text;
    StringBuilder plan = new StringBuilder();
    try {
      text = script(sql, data, plan);
      String note = differs(text, script("SET 'pipeline.auto-watermark-interval' = '0';\n" + sql, data, null));
      if (!note.isEmpty()) text = text.replaceFirst("\n", "\n# Flink's " + note + "\n");
      System.out.println(name + ": " + text.lines().filter(l -> !l.startsWith("#")).count() + " rows; " + note);
    } catch (Throwable e) {
      text = error(e) + "\n";
      System.out.println(name + ": " + text.strip());
    }
    Files.writeString(file.resolveSibling(name + ".expected"), text.replace(data, "${data}"));
    if (!plan.isEmpty()) Files.writeString(file.resolveSibling(name + ".plan"), plan);
  }

  static String differs(String once, String again) {
    if (!fold(once).equals(fold(again))) return "result differs from run to run";
    if (!sorted(once).equals(sorted(again))) return "updates differ from run to run; the table they fold to does not";
    return once.equals(again) ? "" : "order differs from run to run";
  }

  /** The rows that a changelog leaves, each with how often. */
  static Map<String, Integer> fold(String text) {
    Map<String, Integer> rows = new TreeMap<>();
    for (String l : text.lines().filter(l -> !l.startsWith("#")).toList()) {
      String[] kindAndRow = l.split("\t", 2);
      rows.merge(kindAndRow[kindAndRow.length - 1], l.startsWith("-") ? -1 : 1, Integer::sum);
    }
    rows.values().removeIf(n -> n == 0);
    return rows;
  }

  static String sorted(String text) {
    return String.join("\n", text.lines().sorted().toList());
  }

  // ---- server ----------------------------------------------------------------------------------

  /** A request: a line `expressions` or `script DATA_DIR`, then the text up to the end of the stream. */
  static void serve(Path portFile) throws Exception {
    try (ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      Files.writeString(portFile, server.getLocalPort() + "\n");
      ExecutorService pool = Executors.newFixedThreadPool(3);
      while (true) {
        Socket s = server.accept();
        pool.submit(() -> reply(s));
      }
    }
  }

  static void reply(Socket s) {
    try (s) {
      String[] request = new String(s.getInputStream().readAllBytes(), StandardCharsets.UTF_8).split("\n", 2);
      String answer;
      try {
        answer = request[0].equals("expressions") ? answers(request[1]) : script(request[1], request[0].split(" ", 2)[1], null);
      } catch (Throwable e) {
        StringWriter trace = new StringWriter();
        for (Throwable c = e; c != null; c = c.getCause()) trace.append("  ").append(String.valueOf(c.getMessage()).strip().split("\n\tat ")[0]).append('\n');
        answer = error(e) + "\n" + trace;
      }
      s.getOutputStream().write(answer.getBytes(StandardCharsets.UTF_8));
      s.shutdownOutput();
    } catch (IOException e) {
      System.err.println("request lost: " + e);
    }
  }
}
