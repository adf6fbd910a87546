import Foundation
import OverSQLite

/// A gateway to be tried, however it is reached: in memory, or as every process of the real stack.
///
/// It serves the tables of `ConformanceTables`.
package struct GatewayUnderTest: Sendable {
    let base: URL
    let transport: any HTTPTransport
    let token: @Sendable (_ user: String, _ device: String) async throws -> String
    /// Makes the server forget what newer changes of a user's rows have replaced, and deletes.
    let compact: @Sendable (_ user: String) async throws -> Void

    package init(
        base: URL, transport: any HTTPTransport,
        token: @escaping @Sendable (_ user: String, _ device: String) async throws -> String,
        compact: @escaping @Sendable (_ user: String) async throws -> Void
    ) {
        self.base = base
        self.transport = transport
        self.token = token
        self.compact = compact
    }
}

/// The tables that a gateway under test must serve.
package enum ConformanceTables {
    /// As the real server gets them: text of `oversync.yaml`.
    package static let registrations = """
        tables:
          - {table: business.users, owner: owner_id}
          - {table: business.posts, owner: owner_id}
          - {table: business.currencies, owner: owner_id, key: code}
          - {table: business.tickets, owner: owner_id}
        """

    /// SQL that makes them there.
    package static let businessSchema = """
        CREATE SCHEMA business;
        CREATE TABLE business.users (
          id uuid PRIMARY KEY, owner_id text NOT NULL, name text NOT NULL, age integer);
        CREATE TABLE business.posts (
          id uuid PRIMARY KEY, owner_id text NOT NULL, title text,
          user_id uuid NOT NULL REFERENCES business.users (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE business.currencies (
          owner_id text NOT NULL, code text NOT NULL, name text, PRIMARY KEY (owner_id, code));
        CREATE TABLE business.tickets (
          id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner_id text NOT NULL, title text,
          next_id bigint REFERENCES business.tickets (id) DEFERRABLE INITIALLY DEFERRED);
        """
}
