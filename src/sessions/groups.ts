/** Members by a name that several may share. A group of one takes no set of its own: most have one. */
export class Groups<Name, Member extends object> {
  readonly #groups = new Map<Name, Member | Set<Member>>();

  add(name: Name, member: Member): void {
    const group = this.#groups.get(name);
    if (group === undefined) this.#groups.set(name, member);
    else if (group instanceof Set) group.add(member);
    else if (group !== member) this.#groups.set(name, new Set([group, member]));
  }

  remove(name: Name, member: Member): void {
    const group = this.#groups.get(name);
    if (group instanceof Set) {
      group.delete(member);
      if (group.size === 0) this.#groups.delete(name);
    } else if (group === member) this.#groups.delete(name);
  }

  /** The members that have a name now. What is added or removed later does not change the list. */
  of(name: Name): Member[] {
    const group = this.#groups.get(name);
    if (group === undefined) return [];
    return group instanceof Set ? [...group] : [group];
  }

  /** Any one of those that have a name. */
  oneOf(name: Name): Member | undefined {
    const group = this.#groups.get(name);
    return group instanceof Set ? group.values().next().value : group;
  }

  names(): Name[] {
    return [...this.#groups.keys()];
  }
}
