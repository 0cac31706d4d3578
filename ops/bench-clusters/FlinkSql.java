import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.DeploymentOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Runs SQL scripts on a Flink cluster: each line of the input is {@code run} or {@code submit}, and the path of one. Answers a line for
 * each, once the job of its last statement has ended, or is submitted: {@code done JOB} or {@code failed WHY}. Scripts are planned here, so
 * the cluster's processes only run them.
 */
public class FlinkSql {
  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]);
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] order = line.split(" ", 2);
      String answer;
      try {
        answer = "done " + run(port, Files.readString(Path.of(order[1])), order[0].equals("run"));
      } catch (Throwable error) {
        Throwable deepest = error;
        for (Throwable cause = error; cause != null; cause = cause.getCause()) if (cause.getMessage() != null) deepest = cause;
        answer = "failed " + String.valueOf(deepest.getMessage()).replace('\n', ' ');
      }
      System.out.println(answer);
      System.out.flush();
    }
  }

  /** The id of the last job. A statement ends with a semicolon at the end of a line. */
  static String run(int port, String script, boolean toEnd) throws Exception {
    Configuration configuration = new Configuration();
    configuration.set(DeploymentOptions.TARGET, "remote");
    configuration.set(RestOptions.ADDRESS, "127.0.0.1");
    configuration.set(RestOptions.PORT, port);
    configuration.setString("client.retry-period", "50 ms");
    TableEnvironment environment =
        TableEnvironment.create(EnvironmentSettings.newInstance().withConfiguration(configuration).inStreamingMode().build());
    String job = "";
    for (String statement : script.replaceAll("(?m)^--.*$", "").split(";\\s*(\n|$)")) {
      if (statement.isBlank()) continue;
      if (statement.strip().startsWith("SET ")) {
        String[] parts = statement.split("'");
        environment.getConfig().set(parts[1], parts[3]);
        continue;
      }
      TableResult result = environment.executeSql(statement);
      if (result.getJobClient().isPresent()) {
        job = result.getJobClient().get().getJobID().toString();
        if (toEnd) result.await();
      }
    }
    return job;
  }
}
