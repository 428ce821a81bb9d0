/** The one project that is open, with its runs, and the list of recent ones. */
import path from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import type { HostEvent, ProjectInfo, RecentProject } from '#contract/records.ts';
import { createProject, openProject, type Project } from '../project/project.ts';
import { appDataDir, forgetProject, listRecent, rememberProject } from '../project/recent-projects.ts';
import { RunService } from '../runs/run-service.ts';
import type { SupervisorTimeouts } from '../runs/supervisor.ts';

export interface SessionOptions {
  host: 'electron' | 'browser' | 'cli';
  version: string;
  resourcesDir: string;
  workerEntry: string;
  nodeFile: string;
  appDataDir?: string;
  timeouts?: Partial<SupervisorTimeouts>;
  emit(event: HostEvent): void;
}

export class ProjectSession {
  readonly options: SessionOptions;
  private service: RunService | null = null;
  private readonly dataDir: string;
  /** Opening and closing take turns. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(options: SessionOptions) {
    this.options = options;
    this.dataDir = options.appDataDir ?? appDataDir();
  }

  get current(): Project | null {
    return this.service?.project ?? null;
  }

  get activeRuns(): number {
    return this.service?.activeRuns ?? 0;
  }

  /** The open project's runs. Throws `no-project`. */
  get runs(): RunService {
    if (!this.service) throw new RoundoffError('no-project', 'No project is open.', 'Create a project, or open one.');
    return this.service;
  }

  async create(file: string): Promise<ProjectInfo> {
    const target = this.fileFrom(file);
    return this.inTurn(() => this.replace(() => createProject(target)));
  }

  async open(file: string): Promise<ProjectInfo> {
    const target = this.fileFrom(file);
    return this.inTurn(async () => {
      if (this.current?.info.path === target) return this.current.info;
      return this.replace(() => openProject(target));
    });
  }

  close(): Promise<void> {
    return this.inTurn(async () => {
      if (!this.service) return;
      await this.closeService();
      this.options.emit({ type: 'project-changed', project: null });
    });
  }

  recent(): RecentProject[] {
    return listRecent(this.dataDir);
  }

  forget(file: string): RecentProject[] {
    forgetProject(this.dataDir, file);
    return this.recent();
  }

  /** Opens the new project before the old one is let go, so that a failure changes nothing. */
  private async replace(open: () => Project): Promise<ProjectInfo> {
    const project = open();
    await this.closeService();
    this.service = new RunService(project, this.options);
    if (this.options.host !== 'cli') rememberProject(this.dataDir, project.info);
    this.options.emit({ type: 'project-changed', project: project.info });
    return project.info;
  }

  private async closeService(): Promise<void> {
    const service = this.service;
    if (!service) return;
    await service.close();
    this.service = null;
    service.project.close();
  }

  private inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.turn.then(action);
    this.turn = result.catch(() => undefined);
    return result;
  }

  private fileFrom(file: string): string {
    if (!path.isAbsolute(file))
      throw new RoundoffError('bad-input', `"${file}" is not an absolute path.`, 'Give the whole path of the project file.');
    return path.normalize(file);
  }
}
